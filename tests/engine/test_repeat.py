"""`repeat while SESSION`, `repeat N until VARIABLE`, and the notes on sessions that did not meet."""

from __future__ import annotations

import pytest

from pgchaos.results import RunResult
from tests.engine.playing import Play, line

SETUP = """-- chaos:setup
CREATE TABLE t (n int);
INSERT INTO t VALUES (0);
"""
CHECK = """
-- chaos:check
SELECT pass('over');
"""


def iterations(result: RunResult, session: str) -> int:
    return max(record.iteration for record in result.records if record.session == session)


def last_end(result: RunResult, session: str) -> float:
    return max(record.ended_at or 0.0 for record in result.records if record.session == session)


def test_a_session_is_repeated_until_all_of_the_other_have_ended(play: Play) -> None:
    result = play(
        SETUP
        + """-- chaos:session load x 2 repeat while slow
INSERT INTO t VALUES (:iteration);
-- chaos:signal loaded
-- chaos:session slow x 2 repeat 10000 until reached
-- chaos:wait for loaded
SELECT max(n) >= 5 * :worker AS reached FROM t \\gset
-- chaos:delay 5ms
"""
        + CHECK
    )
    assert result.failures == []
    assert iterations(result, "load") >= 10, "slow[2] ends only once there are so many"
    assert last_end(result, "load") >= last_end(result, "slow")


def test_it_makes_one_iteration_where_the_other_has_ended_before(play: Play) -> None:
    result = play(
        SETUP
        + """-- chaos:session load repeat while quick
-- chaos:wait for gone
SELECT 1;
-- chaos:session quick
SELECT 2;
-- chaos:signal gone
"""
        + CHECK
    )
    assert result.failures == []
    assert iterations(result, "load") >= 1


def test_a_session_that_fails_ends_the_one_that_is_repeated_beside_it(play: Play) -> None:
    result = play(
        SETUP + "-- chaos:session load repeat while bad\nSELECT 1;\n-- chaos:session bad\nSELECT 1 / 0;\n" + CHECK
    )
    (failure,) = result.failures
    assert "22012" in failure.names


def test_the_time_out_bounds_it(play: Play) -> None:
    result = play(
        "-- chaos:timeout 1s\n"
        + SETUP
        + "-- chaos:session load repeat while stuck\nSELECT 1;\n-- chaos:session stuck\nSELECT pg_sleep(600);\n"
        + CHECK
    )
    assert [failure.kind for failure in result.failures] == ["timeout"]


@pytest.mark.parametrize("schedule", ["free", "explore 5"])
def test_until_ends_after_the_iteration_in_which_the_variable_is_true(play: Play, schedule: str) -> None:
    result = play(
        f"-- chaos:schedule {schedule}\n"
        + SETUP
        + """-- chaos:session poller repeat 40 until done
UPDATE t SET n = n + 1 RETURNING n >= 3 AS done \\gset
-- chaos:session other
SELECT 1;
"""
        + CHECK
    )
    assert result.failures == []
    assert iterations(result, "poller") == 3


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT false AS done \\gset", "`until done`: it was not true after 2 iterations"),
        ("SELECT 'perhaps' AS done \\gset", 'the variable done is "perhaps", not a boolean'),
        ("SELECT true AS gone \\gset", "`until done`: the variable done is not set, did you mean `gone`?"),
    ],
)
def test_until_fails_where_the_variable_says_nothing(play: Play, statement: str, text: str) -> None:
    result = play(SETUP + f"-- chaos:session poller repeat 2 until done\n{statement}\n" + CHECK)
    (failure,) = result.failures
    assert text in failure.text
    assert line(failure) == 4


def test_a_load_that_ended_long_before_the_other_is_reported(play: Play) -> None:
    # the load must end in a small part of the time, on a busy machine too
    result = play(
        SETUP
        + """-- chaos:session load repeat 3
SELECT 1;
-- chaos:session migration
SELECT pg_sleep(2);
"""
        + CHECK
    )
    (note,) = result.remarks
    assert ".sql:4: `load` ran beside `migration` for " in note
    assert note.endswith("`repeat while migration` repeats until it has ended")


RACE = """-- chaos:session one
BEGIN;
SELECT n FROM t;
UPDATE t SET n = n + 1;
COMMIT;
-- chaos:session two
SELECT 1;
"""


def test_sessions_that_only_luck_makes_meet_are_reported(play: Play) -> None:
    (note,) = play(SETUP + RACE + CHECK).remarks
    assert ".sql:4: " in note
    assert note.endswith(
        "nothing makes these sessions meet: add `-- chaos:barrier NAME`, or `-- chaos:schedule explore 200`"
    )


@pytest.mark.parametrize(
    "steered",
    [
        "-- chaos:schedule explore 5\n" + SETUP + RACE,
        SETUP + RACE.replace("UPDATE", "-- chaos:barrier looked\nUPDATE") + "-- chaos:barrier looked\n",
        SETUP + "-- chaos:session one\nSELECT 1;\n",
    ],
    ids=["explored", "barrier", "one session"],
)
def test_of_others_nothing_is_said(play: Play, steered: str) -> None:
    assert play(steered + CHECK).remarks == []
