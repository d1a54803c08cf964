"""`fault … at any step`: where it strikes is searched for, and shrunk to the earliest point that fails."""

from __future__ import annotations

import pytest

from pgchaos.engine import Replay, Settings, run
from pgchaos.history import RunResult
from pgchaos.scenario.reader import read
from tests.engine.playing import Play, only

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


def chosen(result: RunResult) -> str:
    """Tell at which statement the fault struck."""
    (step,) = result.values.values()
    return step


def struck(result: RunResult) -> list[str]:
    return [f"{record.step}" for record in result.records if record.fault]


def test_the_earliest_point_that_fails_is_found(play: Play) -> None:
    # before the fifth statement and its transaction the first is committed, and what comes after is lost
    text = torn("terminate", "COMMIT;\nBEGIN;", "retry none allow admin_shutdown")
    result = play(text.replace("SELECT 'looks';", "SELECT 'looks';\nSELECT 'again';"))
    failure = only(result)
    assert failure.names == ("no money is lost",)
    # the first statement of the first transaction that is lost as a whole
    assert chosen(result) == "3"
    assert struck(result) == ["3"]


def test_a_retry_brings_it_through_wherever_it_strikes(play: Play) -> None:
    result = play(torn("terminate", "", "retry 57P01 08006 unknown"))
    assert not result.failures, (result.failures, result.values)
    assert result.drawn == 5


def test_a_crash_is_survived_wherever_it_strikes(play: Play) -> None:
    result = play(torn("crash", "", "retry 08006 57P01 unknown", "-- chaos:sandbox server\n"), timeout=60)
    assert not result.failures, (result.failures, result.values)
    assert result.drawn == 5


def test_a_chosen_fault_is_replayed_by_its_value(play: Play) -> None:
    play(torn("terminate", "", "retry 57P01 08006 unknown"))
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    for step in ("2", "5"):
        replay = Replay(values={scenario.given[0].name: step})
        result = run(scenario, {}, play.server, Settings(1, replay=replay))
        assert struck(result) == [step]


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


def test_a_point_that_no_session_comes_to_is_no_failure(play: Play) -> None:
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


def test_a_step_that_is_over_too_soon_is_passed_by(play: Play) -> None:
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


def test_the_step_that_lasts_is_cancelled(play: Play) -> None:
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
        SELECT pg_sleep(2);
        SELECT pg_advisory_unlock(1);
        -- chaos:check
        SELECT pass('checked');
        """
    )
    assert "57014" in only(result).names
    assert (chosen(result), struck(result)) == ("2", ["2"])


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


def test_faults_at_the_same_line_of_several_files_are_chosen_apart(play: Play) -> None:
    fault = "-- chaos:fault terminate at any step\nSELECT 1;\nSELECT 2;\n"
    for name in ("one", "two"):
        (play.folder / f"{name}.sql").write_text(fault)
    path = play.folder / "scenario.sql"
    path.write_text(
        "-- chaos:session a\n\\ir one.sql\n-- chaos:session b\n\\ir two.sql\n-- chaos:session c\n" + fault + CHECK
    )
    names = [given.name for given in read(path, "sql/scenario.sql").given]
    assert names == ["fault of line 1 of sql/one.sql", "fault of line 1 of sql/two.sql", "fault of line 6"]
