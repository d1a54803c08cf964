"""The order of a run: setup, sessions, check, teardown."""

from __future__ import annotations

from tests.engine.playing import Play, held, only


def test_setup_and_teardown_are_one_connection(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE TEMP TABLE mine (n int);
        \\set kept 7
        -- chaos:session s
        SELECT 1;
        -- chaos:teardown
        SELECT chaos.assert(count(*) = 0 AND :kept = 7, 'still there') FROM mine;
        DO $$ BEGIN RAISE NOTICE 'teardown ran'; END $$;
        -- chaos:check
        SELECT hasnt_table('mine', 'the check has its own');
        """
    )
    assert result.failures == []
    assert result.output == ["teardown: NOTICE: teardown ran"]


def test_an_assertion_in_teardown_counts(play: Play) -> None:
    result = play("-- chaos:session s\nSELECT 1;\n-- chaos:teardown\nSELECT chaos.assert(false, 'clean');\n")
    assert only(result).names == ("clean",)


def test_connections_stand_as_they_ended_while_the_check_runs(play: Play) -> None:
    result = play(
        """
        -- chaos:leaves open transaction it is looked at
        -- chaos:session s x 2
        BEGIN;
        SELECT 1;
        -- chaos:check
        SELECT is(count(*), 2::bigint, 'idle in transaction') FROM pg_stat_activity
         WHERE datname = current_database() AND application_name ~ '^s\\[' AND state = 'idle in transaction';
        """
    )
    assert held(result) == ["idle in transaction"]


def test_setup_may_leave_no_transaction_open(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        BEGIN;
        CREATE TABLE t ();
        -- chaos:session s
        SELECT 1;
        -- chaos:teardown
        DO $$ BEGIN RAISE NOTICE 'teardown ran'; END $$;
        -- chaos:check
        SELECT pass('never');
        """
    )
    failure = only(result)
    assert "setup left a transaction open" in failure.text
    assert (result.records, result.assertions) == ([], [])
    assert result.output == ["teardown: NOTICE: teardown ran"]


def test_teardown_runs_after_a_failed_setup_and_a_failed_check(play: Play) -> None:
    for setup, check in (("SELECT 1/0;", "SELECT pass('p');"), ("SELECT 1;", "SELECT 1/0;")):
        result = play(
            f"""
            -- chaos:setup
            {setup}
            -- chaos:session s
            SELECT 1;
            -- chaos:teardown
            DO $$ BEGIN RAISE NOTICE 'teardown ran'; END $$;
            -- chaos:check
            {check}
            """
        )
        assert only(result).names == ("22012", "division_by_zero")
        assert result.output == ["teardown: NOTICE: teardown ran"]


def test_an_error_in_teardown_is_a_failure(play: Play) -> None:
    result = play("-- chaos:session s\nSELECT 1;\n-- chaos:teardown\nSELECT 1/0;\n-- chaos:check\nSELECT pass('p');\n")
    assert only(result).kind == "error"
    assert [a.name for a in result.assertions] == ["p"]


def test_a_requirement_that_is_not_met_skips_with_the_reason(play: Play) -> None:
    result = play("-- chaos:requires server >= 99\n-- chaos:session s\nSELECT chaos.assert(true, 'x');\n")
    assert "requires server >= 99" in result.skipped
    assert (result.failures, result.records) == ([], [])
