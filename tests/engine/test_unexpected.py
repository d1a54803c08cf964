"""Errors that nobody asked for: one failure, and everybody else is cancelled at once."""

from __future__ import annotations

import pytest

from tests.engine.playing import Play, only, said
from tests.waiting import until_sql

CHECKED = """
-- chaos:teardown
DO $$ BEGIN RAISE NOTICE 'teardown ran'; END $$;
-- chaos:check
SELECT pass('never');
"""
OTHERS = {
    "sleeps": "SELECT pg_sleep(100);",
    "is locked out": "SELECT pg_advisory_xact_lock(1);",
    "at a barrier": "-- chaos:barrier met",
    "waits for a signal": "-- chaos:wait for go",
    "in a delay": "-- chaos:delay 100s",
    "sends rows without end": "SELECT repeat('x', 100) FROM generate_series(1, 1e9);",
    "copies without end": "COPY (SELECT repeat('x', 100) FROM generate_series(1, 1e9)) TO STDOUT;",
    "swallows one cancel": (
        "DO $$ BEGIN BEGIN PERFORM pg_sleep(100); EXCEPTION WHEN query_canceled THEN NULL; END;"
        " PERFORM pg_sleep(100); END $$;"
    ),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_others_are_cancelled_at_once_and_their_end_is_no_cause(play: Play, other: str) -> None:
    # at the server all but one wait is seen; who waits in the run itself has nothing left to answer
    there = "state = 'idle' AND query LIKE 'SELECT 1%'" if "chaos:" in other else "state = 'active'"
    others = f"SELECT FROM pg_stat_activity WHERE application_name IN ('other[1]', 'other[2]') AND {there}"
    never_reached = "-- chaos:signal go" if "wait for go" in other else other if "barrier" in other else ""
    text = f"""
-- chaos:setup
SELECT 1;
-- chaos:session fails
SELECT pg_advisory_lock(1);
-- chaos:signal there
{until_sql(f"(SELECT count(*) FROM ({others}) AS others) = 2")}
SELECT 1/0;
{never_reached}
-- chaos:session other x 2
-- chaos:wait for there
SELECT 1;
{other}
"""
    result = play(text + CHECKED, timeout=600)
    failure = only(result)
    assert (failure.kind, failure.names, failure.session) == ("error", ("22012", "division_by_zero"), "fails[1]")
    assert result.assertions == []
    assert result.output == ["teardown: NOTICE: teardown ran"]
    assert result.duration < 60


def test_the_session_is_stopped_and_rolled_back(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        BEGIN;
        SELECT 1/0;
        SELECT 'never';
        """
        + CHECKED
    )
    only(result)
    assert [r.sqlstate for r in said(result, "s")] == ["00000", "22012"]
    assert [t.outcome for t in result.transactions] == ["rolled back"]


def test_who_continues_because_of_the_failure_does_not_fail_for_it(play: Play) -> None:
    # the lock that the failing session gives back must not let the other run into an error of its own
    for _ in range(5):
        result = play(
            """
            -- chaos:session fails
            BEGIN;
            SELECT pg_advisory_xact_lock(1);
            -- chaos:signal locked
            -- chaos:wait blocked other
            SELECT 1 WHERE false \\gset
            -- chaos:session other x 8
            -- chaos:wait for locked
            SELECT pg_advisory_xact_lock_shared(1);
            SELECT 'x'::int;
            """
            + CHECKED
        )
        assert only(result).session == "fails[1]"


def test_who_waits_for_the_failed_one_does_not_fail_for_it(play: Play) -> None:
    for _ in range(10):
        result = play(
            """
            -- chaos:session fails
            SELECT 1/0;
            -- chaos:barrier met
            -- chaos:session other x 8
            -- chaos:barrier met
            """
            + CHECKED
        )
        assert only(result).kind == "error"
