"""What a spec prints on a real server, beside the real isolationtester, and what it leaves behind: nothing."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pgchaos.engine.specs import SpecSettings
from pgchaos.isolation.grammar import read
from pgchaos.runner.specs import run_spec_job, spec_job
from pgchaos.server import Server
from pgchaos.stop import Stop
from tests.isolation.conftest import HERE, Play
from tests.waiting import until

SPECS = sorted((HERE / "specs").glob("*.spec"))
LEAKS = {"leaking": "a_show"}

TABLE = """
setup { CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0), (3, 0); }
teardown { DROP TABLE t; }
"""
HELD = """
session a
setup { BEGIN; }
step a1 { UPDATE t SET v = 1 WHERE id = 1; }
step a2 { COMMIT; }
session b
step b1 { UPDATE t SET v = 2 WHERE id = 1; }
step b2 { SELECT 'b' AS b; }
"""


def _rows(server: Server, query: str) -> list[tuple[object, ...]]:
    with server.connect() as conn:
        return conn.execute(query.encode()).fetchall()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_specs_print_what_is_expected(path: Path, private_server: Server) -> None:
    done = run_spec_job(spec_job(read(path), 30.0, accept=False), private_server, None)
    assert done.result.problems == []
    assert done.differences == ()
    assert done.depends_on_earlier == LEAKS.get(path.stem, "")


@pytest.mark.parametrize("path", [path for path in SPECS if path.stem != "terminated"], ids=lambda path: path.stem)
def test_what_is_expected_is_what_isolationtester_prints(path: Path, isolationtester: Callable[[str], str]) -> None:
    # which gives up a whole file for a backend that is terminated
    expected = path.parents[1] / f"expected/{path.stem}.out"
    assert isolationtester(path.read_text(encoding="utf-8")) == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(6))
def test_random_specs_print_what_isolationtester_prints(
    seed: int, play: Play, isolationtester: Callable[[str], str]
) -> None:
    text = _random_spec(random.Random(seed))
    result = play(text)
    assert result.problems == []
    assert result.output == isolationtester(text), text


def _random_spec(draw: random.Random) -> str:
    """Sessions that lock rows in one order, so that none is a deadlock; the one whose turn it is may be blocked."""
    lines = [TABLE]
    names = {}
    for session in "abc":
        rows = sorted(draw.sample((1, 2, 3), 2 if session == "a" else 1))
        kind = draw.choice(("UPDATE t SET v = v + 1 WHERE id = {0} RETURNING *", "SELECT * FROM t WHERE id = {0} {1}"))
        lock = draw.choice(("FOR UPDATE", "FOR SHARE", "FOR KEY SHARE"))
        notice = f"DO 'BEGIN RAISE NOTICE ''{session}''; END'; "
        steps = [draw.choice(("", notice)) + kind.format(row, lock) + ";" for row in rows]
        steps.append(draw.choice(("COMMIT;", "ROLLBACK;", "COMMIT; SELECT v FROM t ORDER BY id;")))
        names[session] = [f"{session}{number}" for number in range(len(steps))]
        lines.append(f"session {session}\nsetup {{ BEGIN; }}")
        lines += [f"step {name} {{ {sql} }}" for name, sql in zip(names[session], steps, strict=True)]
    permutations = ["permutation " + " ".join(_order(draw, names)) for _ in range(8)]
    return "\n".join([*lines, *permutations, ""])


def _order(draw: random.Random, names: dict[str, list[str]]) -> list[str]:
    """One session begins, the others take all but their ends behind it: nobody's next step is launched in a wait."""
    first, *others = ["a", *draw.sample("bc", 2)]
    held = [names[other][0] for other in others]
    return [*names[first][:-1], *held, names[first][-1], *(step for other in others for step in names[other][1:])]


def test_settings_do_not_leak_into_the_next_permutation(play: Play) -> None:
    text = (HERE / "specs/leaking.spec").read_text(encoding="utf-8")
    plain, leaking = play(text), play(text, SpecSettings(leaks=True))
    assert plain.output.count("left behind\n") == 1
    assert leaking.output.count("left behind\n") == 2
    assert plain.reset
    assert not leaking.reset


def test_an_open_transaction_does_not_delay_the_teardown(play: Play) -> None:
    result = play(TABLE + HELD + "permutation a1\npermutation a1")
    assert result.problems == []
    assert result.output.count("step a1:") == 2


def test_a_prepared_transaction_is_seen_as_a_blocker(play: Play) -> None:
    result = play(
        TABLE
        + "session a step a1 { BEGIN; UPDATE t SET v = 1 WHERE id = 1; PREPARE TRANSACTION 'spec_blocker'; }\n"
        + "step a2 { COMMIT PREPARED 'spec_blocker'; }\n"
        + "session b step b1 { UPDATE t SET v = 2 WHERE id = 1; }\npermutation a1 b1 a2"
    )
    assert result.problems == []
    assert "step b1: UPDATE t SET v = 2 WHERE id = 1; <waiting ...>\nstep a2: " in result.output


def test_a_step_that_waits_forever_is_cancelled_and_its_blocker_is_noted(play: Play) -> None:
    result = play(TABLE + HELD + "permutation a1 b1 b2", SpecSettings(step_timeout=1.5))
    assert "isolationtester: canceling step b1 after " in result.output
    assert "ERROR:  canceling statement due to user request\nstep b2:" in result.output
    assert [note.partition(": ")[2] for note in result.notes] == ["it waited for a"]


def test_reports_that_hold_each_other_end_the_permutation_and_not_the_file(play: Play) -> None:
    result = play(TABLE + HELD + "permutation a1(*, b2) b2(a1)\npermutation b2")
    why = "failed to complete permutation due to mutually-blocking steps"
    assert result.problems == [f"permutation a1 b2: {why}"]
    assert result.output.endswith("\nstarting permutation: b2\nstep b2: SELECT 'b' AS b;\nb\n-\nb\n(1 row)\n\n")


def test_a_failed_setup_ends_its_permutation(play: Play) -> None:
    result = play(
        "setup { SELECT 1/0; }\nteardown { SELECT 'away' AS teardown; }\nsession a step a1 { SELECT; }\npermutation a1"
    )
    assert result.problems == ["permutation a1: setup failed: ERROR:  division by zero"]
    assert "step a1" not in result.output
    assert "away" in result.output


def test_a_failed_setup_ends_what_sessions_have_begun_meanwhile(play: Play) -> None:
    # the setup of the session, which is sent meanwhile, ends before that of the spec fails
    result = play(
        "setup { SELECT pg_sleep(0.05); SELECT 1/0; }\nteardown { SELECT 'away' AS teardown; }\n"
        "session a setup { BEGIN; } step a1 { SELECT; } teardown { SELECT 'ended' AS a; }\n"
        "permutation a1\npermutation a1"
    )
    assert result.problems == ["permutation a1: setup failed: ERROR:  division by zero"] * 2
    assert result.output.count("\nended\n") == 2
    assert result.output.count("\naway    \n") == 2


def test_a_session_may_have_served_another_spec_and_has_the_name_of_this(play: Play) -> None:
    text = 'session "it\'s" step a1 { SELECT pg_backend_pid() AS pid; } session b step b1 { SELECT 1; }\npermutation a1'
    both = text.replace("SELECT 1;", "SELECT pg_backend_pid() AS pid;").replace("permutation a1", "permutation a1 b1")
    # a session may get any of the connections that wait
    first, second = (set(re.findall(r"^([0-9]+) *$", play(both).output, re.MULTILINE)) for _ in range(2))
    worn = play(text.replace("SELECT 1;", "LISTEN x;").replace("permutation a1", "permutation a1 b1"))
    named = play(text.replace("pg_backend_pid() AS pid", "current_setting($$application_name$$) AS name"))
    assert first & second
    assert worn.problems == []
    assert "isolation/x/it's\n" in named.output


def test_what_was_changed_in_a_session_is_not_there_for_the_next_spec(play: Play) -> None:
    text = "session a step a1 {{ {0} SELECT current_setting('my.own', true) IS NULL AS fresh; }}"
    for sql in ("", "SET my.own = 1;", ""):
        assert ("\nt    \n" in play(text.format(sql)).output) is not bool(sql)


def test_copy_does_not_loop(play: Play) -> None:
    result = play(
        "session a step a1 { COPY (SELECT 1, 'x') TO STDOUT; } "
        "step a2 { CREATE TEMP TABLE i (i int); COPY i FROM STDIN; }\npermutation a1 a2"
    )
    assert "TO STDOUT;\n1\tx\n" in result.output
    assert "ERROR:  COPY from stdin failed: a spec has no data for COPY FROM STDIN\n" in result.output


def test_the_database_of_pg_isolation_regress_is_ours(play: Play) -> None:
    result = play(
        "session a step a1 { SELECT current_database() AS db; } "
        "step a2 { REVOKE ALL ON DATABASE isolation_regression FROM nobody_at_all; }\npermutation a1 a2"
    )
    assert "db                  \n--------------------\nisolation_regression\n(1 row)" in result.output
    assert "step a2: REVOKE ALL ON DATABASE isolation_regression" in result.output
    assert 'ERROR:  role "nobody_at_all" does not exist' in result.output


def test_roles_go_with_the_spec(play: Play, private_server: Server) -> None:
    query = "SELECT rolname FROM pg_roles WHERE rolname = 'pgchaos_spec_role'"
    result = play(
        "session a step a1 { CREATE ROLE pgchaos_spec_role; CREATE SCHEMA s AUTHORIZATION pgchaos_spec_role; }\n"
        "permutation a1"
    )
    assert result.problems == []
    assert _rows(private_server, query) == []


def test_a_database_that_is_left_clean_serves_the_next(play: Play) -> None:
    # base/OID/…: a spec that asks for the name has a database that serves no other
    name = "session a step a1 { SELECT split_part(pg_relation_filepath('pg_class'), '/', 2) AS db; }"
    first = play(name).output
    assert play(TABLE + name).output.split("db", 1)[1] == first.split("db", 1)[1]
    play("session a step a1 { CREATE TABLE left_behind (); }")
    assert play(name).output != first


def test_a_stop_ends_a_spec_and_leaves_nobody_behind(play: Play, private_server: Server) -> None:
    stop = Stop()
    query = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'isolation/x/%'"
    blocked = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'isolation/x/b' AND wait_event_type = 'Lock'"

    def stop_when_blocked() -> None:
        try:
            until(lambda: _rows(private_server, blocked), "a step waits")
        finally:
            stop.set()

    thread = threading.Thread(target=stop_when_blocked)
    thread.start()
    try:
        result = play(TABLE + HELD + "permutation a1 b1 b2", SpecSettings(stop=stop))
    finally:
        thread.join()
        stop.close()
    assert result.problems == ["the run was stopped"]
    until(lambda: not _rows(private_server, query), "nobody is left")


def test_the_time_of_the_whole_file_may_be_over(play: Play) -> None:
    result = play(TABLE + HELD + "permutation a1 b1 b2", SpecSettings(limit=0.5))
    assert result.problems == ["its time is over"]


def test_what_a_session_is_called(play: Play, private_server: Server) -> None:
    result = play("session \"a b\" step a1 { SELECT current_setting('application_name') AS name; }")
    assert "isolation/x/a b\n" in result.output
    with pytest.raises(psycopg.OperationalError), private_server.connect("isolation_regression"):
        pass
