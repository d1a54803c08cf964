"""Sessions that block one another, with a wait of the scenario among them, fail at once, not at the timeout."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pgchaos import clock
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.session_log import SessionLog
from pgchaos.language.reader import read
from pgchaos.language.section_items import WaitFor
from pgchaos.results import Record
from pgchaos.schedule.wait_rules import Actor, WaitRules
from pgchaos.stop import Stop
from tests.engine.playing import CHECKED, Play, held, line, only, said

SETUP = """
-- chaos:setup
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t VALUES (1, 0), (2, 0);
"""
LOOKS = """
-- chaos:session looks x 2
BEGIN;
SELECT v AS seen FROM t WHERE id = 1 FOR UPDATE \\gset
-- chaos:barrier looked{more}
COMMIT;
"""


def test_a_barrier_before_which_one_waits_for_the_others_lock(play: Play) -> None:
    result = play(SETUP + LOOKS.format(more="") + CHECKED, timeout=600)
    failure = only(result)
    assert failure.kind == "wait"
    assert "can never open" in failure.text
    assert "`barrier looked unless blocked`" in failure.text
    assert line(failure) == 9
    assert {stopped.doing for stopped in result.stopped_sessions} == {"is blocked", "waits at barrier looked"}
    assert result.duration < 60


def test_unless_blocked_is_the_way_out(play: Play) -> None:
    assert held(play(SETUP + LOOKS.format(more=" unless blocked") + CHECKED)) == ["checked"]


def test_it_is_enough_that_one_of_them_says_unless_blocked(play: Play) -> None:
    sessions = """
    -- chaos:session holder
    BEGIN;
    UPDATE t SET v = 1 WHERE id = 1;
    -- chaos:signal held
    -- chaos:barrier met
    COMMIT;
    -- chaos:session waiter
    -- chaos:wait for held
    UPDATE t SET v = 2 WHERE id = 1;
    -- chaos:barrier met unless blocked
    SELECT 1;
    """
    assert held(play(SETUP + sessions.replace("\n    ", "\n") + CHECKED)) == ["checked"]


def test_a_forgotten_commit(play: Play) -> None:
    session = "-- chaos:session forgets x 2\nBEGIN;\nUPDATE t SET v = 1 WHERE id = 1;\n"
    result = play(SETUP + session + CHECKED, timeout=600)
    failure = only(result)
    assert failure.kind == "timeout"
    assert "ended and left its transaction open: is a COMMIT missing?" in failure.text
    assert "ended, its transaction still open" in {stopped.doing for stopped in result.stopped_sessions}
    assert result.duration < 60


def test_a_chain_of_waiters_is_followed(play: Play) -> None:
    sessions = """
    -- chaos:session first
    BEGIN;
    UPDATE t SET v = 1 WHERE id = 1;
    -- chaos:signal first_holds
    -- chaos:wait for never
    COMMIT;
    -- chaos:session second
    -- chaos:wait for first_holds
    BEGIN;
    UPDATE t SET v = 2 WHERE id = 2;
    -- chaos:signal second_holds
    UPDATE t SET v = 2 WHERE id = 1;
    COMMIT;
    -- chaos:session third
    -- chaos:wait for second_holds
    UPDATE t SET v = 3 WHERE id = 2;
    -- chaos:signal never
    """
    failure = only(play(SETUP + sessions.replace("\n    ", "\n") + CHECKED, timeout=600))
    assert failure.text.startswith("wait for never of first[1] can never open: ")
    assert "second[1] waits for a lock that first[1] holds" in failure.text


def test_with_a_time_out_of_the_servers_it_may_yet_end(play: Play) -> None:
    sessions = """
    -- chaos:session holder
    BEGIN;
    UPDATE t SET v = 1 WHERE id = 1;
    -- chaos:signal held
    -- chaos:wait for gave_up
    COMMIT;
    -- chaos:session waiter
    SET lock_timeout = '300ms';
    -- chaos:wait for held
    -- chaos:expect lock_not_available
    UPDATE t SET v = 2 WHERE id = 1;
    -- chaos:signal gave_up
    """
    result = play(SETUP + sessions.replace("\n    ", "\n") + CHECKED)
    assert held(result) == ["checked"]
    assert said(result, "waiter")[1].sqlstate == "55P03"


@pytest.mark.parametrize("cancel", ["pg_cancel_backend(0)", "Pg_Terminate_Backend(0)", "chaos . cancel('nobody')"])
def test_where_sql_cancels_a_session_that_is_seen_blocked_may_have_been_cancelled(play: Play, cancel: str) -> None:
    sessions = f"""
    -- chaos:session holder
    BEGIN;
    UPDATE t SET v = 1 WHERE id = 1;
    -- chaos:signal held
    -- chaos:wait for gave_up
    COMMIT;
    -- chaos:session waiter
    -- chaos:wait for held
    UPDATE t SET v = 2 WHERE id = 1;
    -- chaos:signal gave_up
    -- chaos:session operator
    -- chaos:wait blocked waiter
    SELECT {cancel} WHERE false;
    """
    failure = only(play(SETUP + sessions.replace("\n    ", "\n") + CHECKED, timeout=1))
    assert (failure.kind, failure.text) == ("timeout", "the sessions did not end within 1s")


def test_a_deadlock_is_the_servers_to_resolve(play: Play) -> None:
    # only who closes the circle looks for one, after the usual second: the other until then has long been seen waiting
    sessions = """
    -- chaos:session ab allow deadlock_detected
    SET deadlock_timeout = '10min';
    BEGIN;
    UPDATE t SET v = 1 WHERE id = 1;
    -- chaos:barrier one_locked
    UPDATE t SET v = 1 WHERE id = 2;
    COMMIT;
    -- chaos:session ba allow deadlock_detected
    BEGIN;
    UPDATE t SET v = 2 WHERE id = 2;
    -- chaos:barrier one_locked
    -- chaos:wait for seen
    UPDATE t SET v = 2 WHERE id = 1;
    COMMIT;
    -- chaos:session looks_on
    -- chaos:wait blocked ab
    SELECT 1;
    -- chaos:signal seen
    """
    assert held(play(SETUP + sessions.replace("\n    ", "\n") + CHECKED)) == ["checked"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_who_is_cancelled_and_still_seen_blocked_is_not_stuck(tmp_path: Path, cancelled: bool) -> None:
    path = tmp_path / "t.sql"
    path.write_text(
        "-- chaos:session holder\nSELECT 1;\n-- chaos:wait for gave_up\n"
        "-- chaos:session waiter\nSELECT 1;\n-- chaos:signal gave_up\n" + CHECKED
    )
    holder, waiter = Actor("holder", 1), Actor("waiter", 1)
    sessions = read(path).sessions
    wait = next(item for item in sessions[0].items if isinstance(item, WaitFor))
    rules, log = WaitRules(sessions, {}), SessionLog()
    with closing(Stop()) as stop:
        coordinator = Coordinator(rules, stop, log)
        coordinator.no_lock_timeouts = True
        coordinator.states.join(holder, 1)
        coordinator.states.join(waiter, 2)
        rules.begin_wait(holder, wait, 1)
        coordinator.states.wait(holder, wait.place, "wait for gave_up")
        coordinator.begin(waiter, Record("waiter", 1, 1, 1, "1", wait.place, "SELECT 1"), clock.now())
        if cancelled:
            coordinator.expect_fault([2, 3])
        for _ in range(4):
            coordinator.add_snapshot(coordinator.busy(-1), {2: (1,)}, clock.now())
    assert [failure.kind for failure in log.failures] == ([] if cancelled else ["wait"])
