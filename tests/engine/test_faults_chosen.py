"""`fault … at any step`: where it is delivered is searched for, and shrunk to the earliest point that fails."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pgchaos.engine.faults.fault_counter import FaultCounter
from pgchaos.engine.faults.fault_injector import FaultInjector
from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.engine.session_runner import SessionRunner
from pgchaos.engine.waits import sleep
from pgchaos.language.mutation import mutated
from pgchaos.language.reader import read
from pgchaos.language.search_choices import drawn_variables
from pgchaos.language.section_items import Fault, Statement
from pgchaos.results import RunResult
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.strategy import run
from tests.engine.playing import Play, chosen, held, only

ACCOUNT = """
-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100);
"""
CHECK = """
-- chaos:check
SELECT is(sum(balance), 200::bigint, 'no money is lost') FROM account;
"""
TORN = """
-- chaos:session clerk {options}
-- chaos:fault {fault} at any step
SELECT 'looks';
BEGIN;
UPDATE account SET balance = balance - 10 WHERE id = 1;
{between}
UPDATE account SET balance = balance + 10 WHERE id = 2;
COMMIT;
"""


def torn(fault: str, between: str, options: str, head: str = "") -> str:
    return head + ACCOUNT + TORN.format(fault=fault, between=between, options=options) + CHECK


def delivered_at(result: RunResult) -> list[str]:
    return [f"{record.step}" for record in result.records if record.fault]


def test_the_earliest_point_that_fails_is_found(play: Play) -> None:
    # before the fifth statement and its transaction the first is committed, and what comes after is lost
    text = torn("terminate", "COMMIT;\nBEGIN;", "retry none allow admin_shutdown")
    result = play(text.replace("SELECT 'looks';", "SELECT 'looks';\nSELECT 'again';"))
    failure = only(result)
    assert failure.names == ("no money is lost",)
    # the first statement of the first transaction that is lost as a whole
    assert chosen(result) == "3"
    assert delivered_at(result) == ["3"]
    assert not result.without_fault


WRONG = CHECK.replace("200::bigint", "300::bigint")


@pytest.mark.parametrize("head", ["", "-- chaos:schedule explore 20\n", "-- chaos:schedule a.1 a.2 a.3\n"])
def test_what_fails_without_the_fault_too_is_said(play: Play, head: str) -> None:
    body = "BEGIN;\nUPDATE account SET balance = 0 WHERE id = 1;\nROLLBACK;\n"
    session = f"-- chaos:session a retry 57P01 08006 unknown\n-- chaos:fault terminate at any step\n{body}"
    result = play(head + ACCOUNT + session.replace("retry 57P01 08006 unknown", "allow 57P01") + WRONG)
    assert only(result).names == ("no money is lost",)
    assert chosen(result) == "1"
    assert result.without_fault == "fails without the fault too"


def test_what_fails_in_another_way_without_the_fault_is_said(play: Play) -> None:
    body = "-- chaos:session a\n-- chaos:fault terminate at any step\nUPDATE account SET balance = 0 WHERE id = 1;\n"
    result = play(ACCOUNT + body + CHECK)
    assert "57P01" in str(result.failures[0].names)
    assert result.without_fault == "fails without the fault too, in another way: no money is lost"


@pytest.mark.usefixtures("database")
def test_a_failure_that_was_kept_is_tried_without_the_fault_too(play: Play) -> None:
    text = "-- chaos:schedule explore 20\n" + ACCOUNT
    text += "-- chaos:session a allow 57P01\n-- chaos:fault terminate at any step\nSELECT 1;\nSELECT 2;\n" + WRONG
    play(text)
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    first, second = (run(scenario, {}, play.server, RunSettings(1, key="0fa17ed0")) for _ in range(2))
    assert not first.notes
    assert second.notes == ["this failed before: its stored interleaving was run, without a new search"]
    assert [one.without_fault for one in (first, second)] == ["fails without the fault too"] * 2


def test_a_retry_brings_it_through_wherever_it_is_delivered(play: Play) -> None:
    result = play(torn("terminate", "", "retry 57P01 08006 unknown"))
    assert not result.failures, (result.failures, result.values)
    assert result.drawn == 5


def test_a_crash_is_survived_wherever_it_is_delivered(play: Play) -> None:
    result = play(torn("crash", "", "retry 08006 57P01 unknown", "-- chaos:sandbox server\n"), timeout=60)
    assert not result.failures, (result.failures, result.values)
    assert result.drawn == 5


def test_a_chosen_fault_is_replayed_by_its_value(play: Play) -> None:
    play(torn("terminate", "", "retry 57P01 08006 unknown"))
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    for step in ("2", "5"):
        replay = Replay(values={drawn_variables(scenario, {})[0].name: step})
        result = run(scenario, {}, play.server, RunSettings(1, replay=replay))
        assert delivered_at(result) == [step]


def test_explore_chooses_the_interleaving_and_the_point_together(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule explore 60
        -- chaos:setup
        CREATE TABLE job (id int PRIMARY KEY, claimed boolean NOT NULL, done boolean NOT NULL);
        INSERT INTO job VALUES (1, false, false);
        -- chaos:session worker allow admin_shutdown
        -- chaos:fault terminate at any step
        UPDATE job SET claimed = true WHERE NOT claimed;
        UPDATE job SET done = true WHERE claimed;
        -- chaos:session janitor
        UPDATE job SET claimed = false WHERE claimed AND NOT done;
        -- chaos:check
        SELECT ok(done OR NOT claimed, 'no job is stuck') FROM job;
        """
    )
    failure = only(result)
    assert failure.names == ("no job is stuck",)
    assert chosen(result) == "2"
    assert [f"{one.session}.{one.step}" for one in result.order] == ["janitor.1", "worker.1", "worker.2"]


def test_a_point_that_no_session_reaches_is_no_failure(play: Play) -> None:
    result = play(
        """
        -- chaos:session one allow admin_shutdown
        -- chaos:fault terminate at any step
        SELECT 0;
        \\if false
        SELECT 1;
        SELECT 2;
        \\endif
        -- chaos:check
        SELECT pass('checked');
        """
    )
    assert not result.failures
    assert result.drawn == 3


@pytest.mark.parametrize("more", ["at any step on 2nd execution", "on 2nd execution at any step", "at some step"])
def test_a_point_is_chosen_or_written_not_both(play: Play, more: str) -> None:
    with pytest.raises(Exception, match="fault"):
        play(f"-- chaos:session one\n-- chaos:fault terminate {more}\nSELECT 1;\n{CHECK}")


def test_a_step_that_ends_too_soon_for_the_fault_is_no_failure(play: Play) -> None:
    # the second step lasts long enough to be cancelled
    result = play(
        """
        -- chaos:session one allow query_canceled
        -- chaos:fault cancel at any step
        SELECT 0;
        SELECT pg_sleep(2);
        -- chaos:check
        SELECT pass('checked');
        """
    )
    assert not result.failures
    assert result.drawn == 2


def test_the_step_that_lasts_is_cancelled(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    # it lasts until the fault that was chosen for it is delivered, or was found to be for another
    is_due, inject, note_missed, statement = (
        FaultCounter.is_due,
        FaultInjector.inject,
        FaultCounter.note_missed,
        SessionRunner._statement,
    )
    due: set[Fault] = set()

    def coming(self: FaultCounter, fault: Fault, actor: Actor) -> bool:
        comes = is_due(self, fault, actor)
        due.update([fault] if comes else [])
        return comes

    async def delivers(self: FaultInjector, fault: Fault, *others: Any) -> float:  # noqa: ANN401  # as it takes them
        delivered_when = await inject(self, fault, *others)
        due.discard(fault)
        return delivered_when

    def passes(self: FaultCounter, fault: Fault, why: str) -> None:
        note_missed(self, fault, why)
        due.discard(fault)

    async def unlocks(self: SessionRunner, item: Statement) -> None:
        until = time.monotonic() + 60
        while "unlock" in item.text and self.actor.session == "two" and due:
            assert time.monotonic() < until, "the fault was not delivered"
            await sleep(0.005)  # polled, with a limit
        await statement(self, item)

    monkeypatch.setattr(FaultCounter, "is_due", coming)
    monkeypatch.setattr(FaultInjector, "inject", delivers)
    monkeypatch.setattr(FaultCounter, "note_missed", passes)
    monkeypatch.setattr(SessionRunner, "_statement", unlocks)
    result = play(
        """
        -- chaos:session one
        -- chaos:fault cancel when blocked at any step
        -- chaos:wait for locked
        SELECT 0;
        SELECT pg_advisory_lock(1);
        SELECT pg_advisory_unlock(1);
        -- chaos:session two
        SELECT pg_advisory_lock(1);
        -- chaos:signal locked
        -- chaos:wait blocked one
        SELECT pg_advisory_unlock(1);
        -- chaos:check
        SELECT pass('checked');
        """
    )
    assert "57014" in only(result).names
    assert (chosen(result), delivered_at(result)) == ("2", ["2"])


@pytest.mark.parametrize("fault", ["cancel when blocked", "terminate during when blocked", "kill during when blocked"])
def test_a_fault_that_no_run_delivers_fails_the_search(play: Play, fault: str) -> None:
    result = play(
        f"""
        -- chaos:sandbox server
        -- chaos:session one
        -- chaos:fault {fault} at any step
        SELECT 0;
        SELECT 1;
        -- chaos:check
        SELECT pass('checked');
        """
    )
    failure = only(result)
    assert (failure.kind, failure.place and failure.place.line) == ("fault", 4)
    assert "could not be delivered: at no step that the search chose: the statement was over" in failure.text
    assert result.drawn == 2


MUTANT = """
-- chaos:mutant a transfer is no transaction
-- chaos:session clerk allow admin_shutdown
SELECT 'looks';
-- chaos:fault terminate at any step
UPDATE account SET balance = balance - 10 WHERE id = 1;
UPDATE account SET balance = balance + 10 WHERE id = 2;
-- chaos:caught by 'no money is lost'
"""
WHOLE = """
-- chaos:session clerk
BEGIN;
UPDATE account SET balance = balance - 10 WHERE id = 1;
UPDATE account SET balance = balance + 10 WHERE id = 2;
COMMIT;
"""


def test_a_fault_of_a_mutant_is_searched_for_and_replayed(play: Play) -> None:
    path = play.folder / "scenario.sql"
    path.write_text(ACCOUNT + WHOLE + CHECK + MUTANT)
    scenario = read(path, "scenario.sql")
    planted = mutated(scenario, scenario.mutants[0])
    whole, result = run(scenario, {}, play.server, RunSettings(1)), run(planted, {}, play.server, RunSettings(1))
    assert held(whole)
    assert whole.drawn == 0
    assert only(result).names == ("no money is lost",)
    assert (result.values, delivered_at(result)) == ({"fault of line 18": "2"}, ["2"])
    for step in ("1", "2", "3"):
        replay = Replay(result.decisions or (), {**result.values, "fault of line 18": step})
        again = run(planted, {}, play.server, RunSettings(1, replay=replay))
        assert delivered_at(again) == [step]
        # only without the first nothing is torn
        assert bool(again.failures) == (step != "1")


def test_a_file_in_two_sessions_has_its_fault_in_each_by_its_own_choice(play: Play) -> None:
    (play.folder / "pay.sql").write_text(
        "-- chaos:fault terminate at any step\nUPDATE account SET balance = balance - 1 WHERE id = 1;\nSELECT 1;\n"
    )
    body = "\n-- chaos:session {} allow admin_shutdown\n\\ir pay.sql\n"
    check = "-- chaos:check\nSELECT isnt(sum(balance), 200::bigint, 'somebody paid') FROM account;\n"
    result = play(ACCOUNT + body.format("ann") + body.format("bob") + check)
    assert only(result).names == ("somebody paid",)
    assert result.values == {"fault of line 1 of pay.sql in ann": "1", "fault of line 1 of pay.sql in bob": "1"}
    assert [record.session for record in result.records if record.fault] in (["ann", "bob"], ["bob", "ann"])


def test_a_fault_of_a_file_is_delivered_in_each_session_that_includes_it(play: Play) -> None:
    (play.folder / "end.sql").write_text("-- chaos:fault terminate after\nSELECT 1;\n")
    result = play(
        """
        -- chaos:session a
        \\ir end.sql
        -- chaos:session b
        \\if false
        \\ir end.sql
        \\endif
        -- chaos:check
        SELECT pass('checked');
        """
    )
    failure = only(result)
    assert (failure.kind, str(failure.place)) == ("fault", "end.sql:1")
    assert "no session reached its line of end.sql in b" in failure.text


def test_what_no_run_delivered_is_of_no_value_that_a_token_replays(play: Play) -> None:
    body = "-- chaos:session a\n-- chaos:fault cancel when blocked at any step\nSELECT 1;\n"
    result = play(body + CHECK.replace("sum(balance), 200::bigint", "1, 1").replace(" FROM account", ""))
    assert only(result).kind == "fault"
    assert (result.values, result.decisions, result.shrunk) == ({}, None, False)
