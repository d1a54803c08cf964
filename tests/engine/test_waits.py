"""Barriers, signals and waits for a lock, between real sessions."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.session_runner import SessionRunner
from pgchaos.engine.waits import sleep
from pgchaos.schedule.wait_rules import Actor
from tests.engine.playing import CHECKED, Play, held, only, said


def hold_back(monkeypatch: pytest.MonkeyPatch, what: str, session: str, state: Callable[[Coordinator], bool]) -> None:
    """Have a session begin or end only once the coordinator is in a state."""
    real = SessionRunner._iterate

    async def hold(runner: SessionRunner, when: str) -> None:
        until = time.monotonic() + 60
        while runner.actor.session == session and what == when and not state(runner._context.coordinator):
            assert time.monotonic() < until, f"the state did not come that {session} waits for"
            await sleep(0.005)  # polled, with a limit

    async def iterate(runner: SessionRunner) -> None:
        await hold(runner, "begin")
        try:
            await real(runner)
        finally:
            await hold(runner, "end")

    monkeypatch.setattr(SessionRunner, "_iterate", iterate)


def test_each_iteration_has_its_own_barrier(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE TABLE came (worker int, iteration int, at timestamptz DEFAULT clock_timestamp());
        CREATE TABLE went (worker int, iteration int, at timestamptz DEFAULT clock_timestamp());
        -- chaos:session s x 3 repeat 4
        INSERT INTO came (worker, iteration) VALUES (:worker, :iteration);
        -- chaos:barrier met
        INSERT INTO went (worker, iteration) VALUES (:worker, :iteration);
        -- chaos:check
        SELECT is(count(*), 12::bigint, 'all went') FROM went;
        SELECT is_empty('SELECT FROM came c JOIN went w USING (iteration) WHERE c.at > w.at', 'nobody early');
        """
    )
    assert held(result) == ["all went", "nobody early"]


def test_who_repeats_less_often_is_not_waited_for(play: Play) -> None:
    result = play(
        """
        -- chaos:session often repeat 3
        -- chaos:barrier met
        SELECT 1;
        -- chaos:session once
        -- chaos:barrier met
        SELECT 1;
        """
        + CHECKED
    )
    assert held(result) == ["checked"]
    assert len(said(result, "often")) == 3


def test_a_branch_not_taken_passes_its_barrier_by(play: Play) -> None:
    result = play(
        """
        -- chaos:session s x 2
        SELECT :worker = 1 AS first \\gset
        \\if :first
        -- chaos:barrier met
        SELECT 'met';
        \\endif
        """
        + CHECKED
    )
    assert held(result) == ["checked"]


UNLESS_BLOCKED = """
    -- chaos:setup
    CREATE TABLE seat (id int PRIMARY KEY, buyer int);
    INSERT INTO seat VALUES (1);
    -- chaos:session s x 3
    BEGIN;
    SELECT buyer FROM seat WHERE id = 1 {lock};
    -- chaos:barrier looked {option}
    UPDATE seat SET buyer = :worker WHERE id = 1;
    COMMIT;
    -- chaos:check
    SELECT is(count(*), {late}::bigint, 'so many looked after another had bought')
      FROM chaos.history a WHERE statement LIKE 'SELECT%'
       AND EXISTS (SELECT FROM chaos.history b WHERE b.tag = 'UPDATE 1' AND b.ended_at < a.ended_at);
"""


@pytest.mark.parametrize(("lock", "late"), [("FOR UPDATE", 2), ("", 0)])
def test_unless_blocked_opens_when_the_others_are_blocked(play: Play, lock: str, late: int) -> None:
    result = play(UNLESS_BLOCKED.format(lock=lock, option="unless blocked", late=late))
    assert len(held(result)) == 1


@pytest.mark.parametrize("which", ["blocked", "blocked[2]"])
def test_wait_blocked_waits_for_the_lock(play: Play, which: str) -> None:
    result = play(
        f"""
        -- chaos:session holder
        BEGIN;
        SELECT pg_advisory_xact_lock(1);
        -- chaos:signal held
        -- chaos:wait blocked {which}
        SELECT chaos.assert(count(*) >= 1, 'somebody waits') FROM pg_locks
         WHERE locktype = 'advisory' AND NOT granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
        COMMIT;
        -- chaos:session blocked x 2
        -- chaos:wait for held
        SELECT pg_advisory_xact_lock(1);
        -- chaos:check
        SELECT ok(bool_or(waited_on = 'holder[1]'), 'who waited for whom') FROM chaos.history WHERE session = 'blocked';
        """
    )
    assert held(result) == ["who waited for whom", "somebody waits"]


def test_wait_blocked_does_not_take_an_old_block_for_a_new_one(play: Play) -> None:
    # the second wait must see the second block, whatever the last look said
    result = play(
        """
        -- chaos:setup
        CREATE TABLE seen (n int);
        -- chaos:session holder repeat 10
        BEGIN;
        SELECT pg_advisory_xact_lock(1);
        -- chaos:barrier locked
        -- chaos:wait blocked blocked
        INSERT INTO seen SELECT count(*) FROM pg_locks
         WHERE locktype = 'advisory' AND NOT granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
        COMMIT;
        -- chaos:barrier done
        -- chaos:session blocked repeat 10
        -- chaos:barrier locked
        -- so the other asks first, and must really wait
        -- chaos:delay 2ms
        SELECT pg_advisory_xact_lock(1);
        -- chaos:barrier done
        -- chaos:check
        SELECT is(sum(n), 10::bigint, 'blocked every time') FROM seen;
        """
    )
    assert held(result) == ["blocked every time"]


NEVER = {
    "barrier": ("-- chaos:barrier met", "SELECT 1;\n\\quit\n-- chaos:barrier met", "other[1] ended without arriving"),
    "signal": (
        "-- chaos:wait for go",
        "\\if false\n-- chaos:signal go\n\\endif\nSELECT 1;",
        "other[1] ended without giving the signal",
    ),
    "blocked": ("-- chaos:wait blocked other", "SELECT 1;", "other[1] ended without being blocked"),
    "each other": (
        "-- chaos:wait for go\n-- chaos:signal come",
        "-- chaos:wait for come\n-- chaos:signal go",
        "every session waits for another",
    ),
}


@pytest.mark.parametrize(("waits", "other", "why"), NEVER.values(), ids=NEVER.keys())
def test_a_wait_that_can_never_open_fails_at_once(play: Play, waits: str, other: str, why: str) -> None:
    result = play(
        f"-- chaos:session s\nSELECT 1;\n{waits}\nSELECT 1;\n-- chaos:session other\n{other}\nSELECT 2;\n{CHECKED}",
        timeout=600,
    )
    failure = only(result)
    assert failure.kind == "wait"
    assert why in failure.text
    assert failure.place is not None
    assert result.duration < 60
    assert result.assertions == []
    stopped = next(s for s in result.stopped_sessions if s.session == failure.session)
    assert stopped.doing.startswith("waits at ")


def test_a_wait_that_can_never_open_tells_how_the_others_stood(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    doing = {Actor("busy", 1): "runs", Actor("pauses", 1): "is in a delay"}
    hold_back(
        monkeypatch,
        "end",
        "gone",
        lambda stage: all(stage.states.describe_state(who) == what for who, what in doing.items()),
    )
    result = play(
        """
        -- chaos:session s
        SELECT 1;
        -- chaos:barrier met
        SELECT 1;
        -- chaos:session gone
        SELECT 1;
        \\quit
        -- chaos:barrier met
        -- chaos:session busy
        SELECT pg_sleep(100);
        -- chaos:session pauses
        -- chaos:delay 100s
        SELECT 1;
        """
        + CHECKED
    )
    only(result)
    reported = {s.session: (s.doing, s.place.line if s.place else None) for s in result.stopped_sessions}
    assert reported["s[1]"] == ("waits at barrier met", 4)
    assert reported["gone[1]"][0] == "ended"
    assert reported["busy[1]"] == ("runs", 11)
    assert reported["pauses[1]"] == ("is in a delay", 13)


def test_a_session_that_has_not_begun_is_among_the_stopped_ones(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_back(monkeypatch, "begin", "late", lambda stage: stage.stop.is_set())
    result = play(
        """
        -- chaos:session s
        -- chaos:barrier met
        SELECT 1;
        -- chaos:session gone
        \\quit
        -- chaos:barrier met
        -- chaos:session late
        SELECT 1;
        """
        + CHECKED
    )
    assert only(result).kind == "wait"
    reported = {s.session: (s.doing, s.place, s.since) for s in result.stopped_sessions}
    assert reported["late[1]"] == ("has not begun", None, None)
    assert sorted(reported) == ["gone[1]", "late[1]", "s[1]"]


def test_a_signal_stays_given_to_the_end(play: Play) -> None:
    result = play(
        """
        -- chaos:session gives x 2
        -- chaos:signal go
        SELECT 1;
        -- chaos:session late repeat 3
        SELECT 1;
        -- chaos:wait for go
        SELECT 2;
        -- chaos:check
        SELECT pass('checked');
        """
    )
    assert held(result) == ["checked"]
    assert len(said(result, "late")) == 6
