"""Errors that an author asked for: expect and allow, in blocks and outside them."""

from __future__ import annotations

import pytest

from tests.engine.playing import Play, held, line, only, outcomes, said

CHECKED = """
-- chaos:check
SELECT pass('the check ran');
"""


def test_an_expected_error_fails_nothing(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        -- chaos:expect division_by_zero
        SELECT 1/0;
        SELECT 'on';
        """
        + CHECKED
    )
    assert held(result) == ["the check ran"]
    assert [r.sqlstate for r in said(result, "s")] == ["22012", "00000"]


@pytest.mark.parametrize(
    ("statement", "have"), [("SELECT 1", "have: no error"), ("SELECT 1/0", "have: 22012: division by zero")]
)
def test_an_expected_error_that_does_not_come_fails_and_the_run_continues(
    play: Play, statement: str, have: str
) -> None:
    result = play(
        f"""
        -- chaos:session s
        -- chaos:expect unique_violation
        {statement};
        SELECT 'on';
        """
        + CHECKED
    )
    failure = only(result)
    assert (failure.kind, failure.names) == ("expect", ("unique_violation", "23505"))
    assert (line(failure), failure.session) == (4, "s[1]")
    assert failure.details[0] == have
    assert said(result, "s")[-1].statement == "SELECT 'on'"
    assert [a.name for a in result.assertions] == ["the check ran"]


def test_after_an_expected_error_nothing_is_rolled_back_for_the_author(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        BEGIN;
        -- chaos:expect division_by_zero
        SELECT 1/0;
        -- chaos:expect in_failed_sql_transaction
        SELECT 2;
        ROLLBACK;
        """
        + CHECKED
    )
    assert held(result) == ["the check ran"]
    assert [r.sqlstate for r in said(result, "s")] == ["00000", "22012", "25P02", "00000"]
    assert outcomes(result, "s") == [(1, 1, True, "rolled back", "22012")]


def test_another_error_in_a_block_ends_it_and_its_rest_is_skipped(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        BEGIN;
        -- chaos:expect unique_violation
        SELECT 1/0;
        SELECT 'skipped';
        COMMIT;
        SELECT 'on';
        """
        + CHECKED
    )
    assert only(result).kind == "expect"
    assert [(r.sqlstate, r.skipped) for r in said(result, "s")] == [
        ("00000", False),
        ("22012", False),
        (None, True),
        (None, True),
        ("00000", False),
    ]


@pytest.mark.parametrize("how", ["directive", "option"])
def test_an_allowed_error_ends_its_block_and_the_session_continues_after_it(play: Play, how: str) -> None:
    option, directive = ("", "-- chaos:allow 22012") if how == "directive" else ("allow 22012", "")
    result = play(
        f"""
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session s {option}
        BEGIN;
        INSERT INTO t VALUES (1);
        {directive}
        SELECT 1/0;
        INSERT INTO t VALUES (2);
        COMMIT;
        INSERT INTO t VALUES (3);
        -- chaos:check
        SELECT results_eq('SELECT id FROM t', ARRAY[3], 'only what came after the block is there');
        SELECT results_eq(
            $$SELECT line, started_at IS NULL, ended_at IS NULL, tag IS NULL FROM chaos.history
               WHERE sqlstate IS NULL ORDER BY line$$,
            $$VALUES (9, true, true, true), (10, true, true, true)$$,
            'the rest of the block is recorded as skipped');
        """
    )
    assert held(result) == ["only what came after the block is there", "the rest of the block is recorded as skipped"]
    assert outcomes(result, "s") == [(1, 1, True, "rolled back", "22012"), (1, 1, False, "committed", "00000")]


def test_an_allowed_error_that_does_not_come_is_none(play: Play) -> None:
    result = play("-- chaos:session s\n-- chaos:allow 22012\nSELECT 1;\n" + CHECKED)
    assert held(result) == ["the check ran"]


def test_barriers_in_the_skipped_rest_count_as_arrived_and_its_signals_are_not_given(play: Play) -> None:
    result = play(
        """
        -- chaos:session fails
        BEGIN;
        -- chaos:allow 22012
        SELECT 1/0;
        -- chaos:barrier met
        -- chaos:signal go
        COMMIT;
        -- chaos:session meets
        -- chaos:barrier met
        SELECT 'met';
        -- chaos:wait for go
        SELECT 'never';
        """
        + CHECKED
    )
    failure = only(result)
    assert failure.kind == "wait"
    assert "fails[1] ended without giving the signal" in failure.text
    assert [r.statement for r in said(result, "meets")] == ["SELECT 'met'"]


@pytest.mark.parametrize("condition", [":free", ":{?free}"])
def test_the_skipped_rest_may_ask_for_a_variable_that_the_error_left_unset(play: Play, condition: str) -> None:
    result = play(
        f"""
        -- chaos:session s
        BEGIN;
        -- chaos:allow 22012
        SELECT 1/0 = 1 AS free \\gset
        \\if {condition}
        SELECT 'bought';
        \\else
        SELECT 'too late';
        \\endif
        COMMIT;
        SELECT 'after';
        """
        + CHECKED
    )
    assert held(result) == ["the check ran"]
    assert said(result, "s")[-1].statement == "SELECT 'after'"
    assert outcomes(result, "s") == [(1, 1, True, "rolled back", "22012"), (1, 1, False, "committed", "00000")]


def test_a_block_that_is_closed_in_a_branch_ends_there_when_skipped(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        BEGIN;
        -- chaos:allow 22012
        SELECT 1/0 = 1 AS free \\gset
        \\if :free
        COMMIT;
        \\else
        ROLLBACK;
        \\endif
        SELECT 'after';
        """
        + CHECKED
    )
    assert held(result) == ["the check ran"]
    assert [(r.statement, r.skipped) for r in said(result, "s")][2:] == [("COMMIT", True), ("SELECT 'after'", False)]


def test_an_error_at_commit_itself_may_be_allowed(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
        -- chaos:session s
        BEGIN;
        INSERT INTO t VALUES (1), (1);
        -- chaos:allow unique_violation
        COMMIT;
        SELECT 'after';
        """
        + CHECKED
    )
    assert held(result) == ["the check ran"]
    assert outcomes(result, "s") == [(1, 1, True, "rolled back", "23505"), (1, 1, False, "committed", "00000")]
    assert said(result, "s")[-1].sqlstate == "00000"


TERMINATED = """
    -- chaos:setup
    CREATE TABLE t (id int);
    -- chaos:session victim {options}
    SELECT pg_backend_pid();
    -- chaos:signal there
    -- chaos:wait for gone
    BEGIN;
    INSERT INTO t VALUES (1);
    COMMIT;
    SELECT 'after', {tells};
    -- chaos:session killer
    -- chaos:wait for there
    SELECT chaos.assert(pg_terminate_backend(pid, 60000), 'the victim is gone')
      FROM pg_stat_activity WHERE application_name = 'victim[1]' AND datname = current_database();
    -- chaos:signal gone
"""


@pytest.mark.parametrize("tells", ["1", "chaos.var('worker')"])
def test_an_error_of_begin_itself_skips_its_block(play: Play, tells: str) -> None:
    result = play(TERMINATED.format(options="allow 57P01", tells=tells))
    assert held(result) == ["the victim is gone"]
    assert [(r.sqlstate, r.skipped) for r in said(result, "victim")] == [
        ("00000", False),
        ("57P01", False),
        (None, True),
        (None, True),
        ("00000", False),
    ]
    assert outcomes(result, "victim")[1] == (1, 1, True, "rolled back", "57P01")


def test_begin_on_a_terminated_connection_is_retried_by_its_code(play: Play) -> None:
    result = play(TERMINATED.format(options="retry 57P01", tells="1"))
    assert held(result) == ["the victim is gone"]
    assert outcomes(result, "victim")[1:3] == [(1, 1, True, "rolled back", "57P01"), (1, 2, True, "committed", "00000")]


def test_expect_looks_at_what_gexec_makes(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        -- chaos:expect 22012
        SELECT 'SELECT 1/0' \\gexec
        SELECT 'after';
        -- chaos:expect 22012
        SELECT 'SELECT 1' \\gexec
        """
        + CHECKED
    )
    failure = only(result)
    assert failure.kind == "expect"
    assert line(failure) == 7
    assert [r.statement for r in said(result, "s")][:3] == ["SELECT 'SELECT 1/0'", "SELECT 1/0", "SELECT 'after'"]
