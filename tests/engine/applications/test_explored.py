"""Programs step by step: searched, shrunk, replayed; blocked by each other; and when others go on without one."""

from __future__ import annotations

import pytest

from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from tests.engine.applications.test_programs import stock
from tests.engine.playing import Play, held, only, said
from tests.often import often

SALE = """
-- chaos:schedule {schedule}
-- chaos:setup
CREATE TABLE stock (id int PRIMARY KEY, n int);
INSERT INTO stock VALUES (1, 10), (2, 10);
-- chaos:session shop x 2 run '{send} {words}'
-- chaos:check
SELECT is(sum(n), {left}::bigint, 'both sold') FROM stock;
"""
READS = '"SELECT n FROM stock WHERE id = 1{lock}" "UPDATE stock SET n = {{}} - 1 WHERE id = 1"'
LOST = f'"BEGIN" {READS.format(lock="")} "COMMIT"'
LOCKED = f'"BEGIN" {READS.format(lock=" FOR UPDATE")} "COMMIT"'

pytestmark = pytest.mark.usefixtures("database")


def sale(send: str, words: str, schedule: str, left: int = 18) -> str:
    return SALE.format(send=send, words=words, schedule=schedule, left=left)


def order(result: RunResult) -> str:
    return " ".join(f"{step.worker}.{step.step}" for step in result.order)


def replayed(play: Play, text: str, result: RunResult) -> RunResult:
    path = play.folder / "scenario.sql"
    path.write_text(text, encoding="utf-8")
    assert result.decisions is not None
    settings = RunSettings(result.seed, replay=Replay(result.decisions))
    return run(read(path, "scenario.sql"), {}, play.server, settings)


def test_a_lost_update_is_found_and_shrunk_and_replayed_whatever_the_seed(play: Play, send: str) -> None:
    text = sale(send, LOST, "explore 200")
    for seed in range(often(1, 20)):
        result = play(text, seed=seed)
        assert only(result).names == ("both sold",)
        assert order(result) == "1.1 1.2 2.1 2.2 2.3 2.4 1.3 1.4"
        assert result.explored is not None
        assert result.explored.runs < 20
        for _ in range(often(1, 20)):
            again = replayed(play, text, result)
            assert only(again).names == ("both sold",)
            assert order(again) == order(result)


def test_a_request_that_waits_for_a_fault_after_the_one_before_it_ends_with_its_connection(
    play: Play, send: str
) -> None:
    """It came before the connection ended, and would have waited for its turn for ever."""
    shop = f'shop x 2 allow exit 1 run \'{send} "SELECT 1" "SELECT 2"\''
    fault = "-- chaos:fault terminate after on 1st execution of 'SELECT 1'"
    result = play(stock(f"{shop}\n{fault}", head="-- chaos:timeout 20s\n-- chaos:schedule explore 4"))
    assert held(result) == ["done"]


def test_what_locks_its_row_is_never_caught(play: Play, send: str) -> None:
    result = play(sale(send, LOCKED, f"explore {often(4, 100)}"))
    assert held(result) == ["both sold"]
    assert result.explored is not None
    assert not result.explored.exhausted


def test_all_interleavings_are_run_where_there_are_few(play: Play, send: str) -> None:
    # two requests each: six orders, of which none waits
    words = '"SELECT 1" "UPDATE stock SET n = n - 1 WHERE id = $CHAOS_WORKER"'.replace("$CHAOS_WORKER", ":worker")
    result = play(sale(send, words, "explore 30"))
    assert held(result) == ["both sold"]
    assert result.explored is not None
    assert (result.explored.runs, result.explored.different, result.explored.exhausted) == (6, 6, True)


def test_who_closes_a_circle_is_the_victim(play: Play, send: str) -> None:
    words = (
        '"BEGIN" "UPDATE stock SET n = n - 1 WHERE id = :worker" "UPDATE stock SET n = n - 1 WHERE id = 3 - :worker"'
    )
    text = sale(send, f'{words} "COMMIT"', "explore 50", left=16)
    result = play(text)
    failure = only(result)
    assert failure.names == ("exit 1",)
    assert failure.details[0] == "its last error: 40P01 in step 3: deadlock detected"
    assert order(result) == "1.1 1.2 2.1 2.2 2.3 1.3 1.4"
    (victim,) = [record for record in result.records if record.sqlstate == "40P01"]
    assert (victim.worker, victim.waited_on) == (1, ("shop[2]",))
    assert order(replayed(play, text, result)) == order(result)


def test_a_program_that_asks_the_same_again_and_again_lets_the_others_continue(play: Play, send: str) -> None:
    """It may wait for what they do, as in a loop that looks for a job."""
    words = 40 * '"SELECT n FROM stock WHERE id = 1" '
    polls = f"shop run '{send} {words}'"
    other = "other\nUPDATE stock SET n = 1 WHERE id = 1;\nSELECT 2;"
    result = play(stock(polls, other, head="-- chaos:schedule all up to 1"))
    assert held(result) == ["done"]
    assert [step.session for step in result.order].index("other") == 20


def test_a_program_that_sleeps_between_its_requests_does_something(play: Play, send: str) -> None:
    words = 8 * '"SELECT 1" sleep:0.05 '
    shop = f"shop run '{send} {words}' grace 150ms"
    result = play(stock(shop, head="-- chaos:schedule all up to 1"))
    assert held(result) == ["done"]
    assert not any("has done nothing" in one for one in result.remarks)


@pytest.mark.parametrize(("begins", "at_once"), [("BEGIN", True), ("SELECT 1", False)])
def test_connections_whose_order_is_not_searched_are_reported(
    play: Play, send: str, begins: str, at_once: bool
) -> None:
    shop = f'shop run \'{send} "{begins}" open:2 "SELECT 2" open:1 "COMMIT"\''
    result = play(stock(shop, head="-- chaos:schedule all up to 1"))
    assert held(result) == ["done"]
    text = "shop[1] sent on several connections at once: only their order of arrival was run ("
    assert any(one.startswith(text) for one in result.remarks) == at_once


def test_others_continue_without_one_that_does_nothing(play: Play, send: str) -> None:
    # the first waits for something that no server knows of, until the second has ended
    waits = '"SELECT 1" sleep:2 "SELECT 2"'
    text = sale(send, waits, "explore 1", left=20).replace("'\n-- chaos:check", "' grace 50ms\n-- chaos:check")
    text = text.replace("shop x 2", "shop").replace(
        "-- chaos:check", "-- chaos:session sql\nSELECT 3;\nSELECT 4;\n-- chaos:check"
    )
    result = play(text)
    assert held(result) == ["both sold"]
    (sent,) = [record.started_at for record in said(result, "shop") if record.step == "2"]
    assert all((record.ended_at or 0) < (sent or 0) for record in said(result, "sql"))
    assert any("shop[1] has done nothing for 50 ms: the others go on without it" in one for one in result.remarks)


def test_an_iteration_is_a_process_of_its_own(play: Play, send: str) -> None:
    text = sale(send, LOCKED, "explore 2", left=16).replace("x 2", "x 2 repeat 2")
    result = play(text)
    assert held(result) == ["both sold"]
    assert {(record.iteration, record.step) for record in said(result, "shop")} == {
        (iteration, str(step)) for iteration in (1, 2) for step in (1, 2, 3, 4)
    }


PIPELINE = """
import os
import psycopg

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection, connection.pipeline():
    connection.execute("BEGIN")
    connection.execute("UPDATE stock SET n = n - 1 WHERE id = 1")
    connection.execute("COMMIT")
"""


def test_requests_of_a_pipeline_are_steps_one_after_the_other(play: Play) -> None:
    (play.folder / "pipeline.py").write_text(PIPELINE, encoding="utf-8")
    result = play(sale("python pipeline.py", "", "explore 2"), timeout=30.0)
    assert held(result) == ["both sold"]
    statements = ["BEGIN", "UPDATE stock SET n = n - 1 WHERE id = 1", "COMMIT"]
    assert [record.statement for record in said(result, "shop")] == statements
    # the server says nothing of transactions before the end of a pipeline
    ended = [(one.block, one.outcome, one.step) for one in result.transactions]
    assert ended == [(True, "committed", "3")] * 2
    assert all(record.sqlstate == "00000" and record.ended_at is not None for record in result.records)


FAILED_PIPELINE = """
import os
import psycopg

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    try:
        with connection.pipeline():
            for divisor in (1, 0, 2, 3, 4):
                connection.execute("UPDATE stock SET n = n / %s::int", [divisor])
    except psycopg.errors.DivisionByZero:
        connection.execute("UPDATE stock SET n = n - 1 WHERE id = 1")
"""


def test_what_follows_an_error_in_a_pipeline_holds_nothing_up(play: Play) -> None:
    (play.folder / "pipeline.py").write_text(FAILED_PIPELINE, encoding="utf-8")
    result = play(sale("python pipeline.py", "", "explore 2"), timeout=30.0)
    assert held(result) == ["both sold"]
    for worker in (1, 2):
        told = [(record.sqlstate, record.skipped) for record in result.records if record.worker == worker]
        assert told == [("00000", False), ("22012", False), *[(None, True)] * 3, ("00000", False)]
        ended = [(one.outcome, one.sqlstate, one.step) for one in result.transactions if one.worker == worker]
        assert ended == [("rolled back", "22012", "5"), ("committed", "00000", "6")]


SYNCED_LATER = """
import os
import psycopg

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection, connection.pipeline() as pipeline:
    rows = connection.execute("UPDATE stock SET n = n - 1 WHERE id = 1 RETURNING n")
    pipeline.pgconn.send_flush_request()
    rows.fetchone()
"""


def test_what_a_pipeline_commits_at_its_end_is_committed(play: Play) -> None:
    (play.folder / "pipeline.py").write_text(SYNCED_LATER, encoding="utf-8")
    result = play(sale("python pipeline.py", "", "explore 2"), timeout=30.0)
    assert held(result) == ["both sold"]
    assert [(ended.worker, ended.outcome, ended.step) for ended in result.transactions] == [
        (1, "committed", "1"),
        (2, "committed", "1"),
    ]
