"""Retries of transactions, of real failures of the server."""

from __future__ import annotations

import pytest

from pgchaos.results import RunResult
from tests.engine.playing import Play, held, only, outcomes, said, texts

SKEW = """
    -- chaos:setup
    CREATE TABLE doctor (name text PRIMARY KEY, on_call boolean);
    INSERT INTO doctor VALUES ('a', true), ('b', true);
    -- chaos:session s x 2 {options}
    \\set tries 0
    BEGIN ISOLATION LEVEL SERIALIZABLE;
    SELECT :tries + 1 AS tries, count(*) AS working FROM doctor WHERE on_call \\gset
    -- chaos:barrier looked
    {on_call}
    COMMIT;
    -- chaos:check
    SELECT is(count(*), 1::bigint, 'one is still on call') FROM doctor WHERE on_call;
"""
GO = """
    SELECT :working > 1 AS may_go \\gset
    \\if :may_go
    UPDATE doctor SET on_call = false WHERE name = chr(96 + :worker);
    \\endif
"""


def test_a_serialization_failure_is_sent_again_from_begin(play: Play) -> None:
    result = play(SKEW.format(options="retry serialization_failure", on_call=GO))
    assert held(result) == ["one is still on call"]
    rows = outcomes(result, "s")
    loser = next(row[0] for row in rows if row[3] == "rolled back")
    assert [row[1:] for row in rows if row[0] != loser] == [(1, True, "committed", "00000")]
    # who is quick to begin again may look before the other's commit is to be seen, and fail once more
    *lost, last = (row[1:] for row in rows if row[0] == loser)
    attempts = list(range(1, len(lost) + 1))
    assert lost == [(attempt, True, "rolled back", "40001") for attempt in attempts]
    assert last == (len(lost) + 1, True, "committed", "00000")
    records = said(result, "s", loser)
    assert [r.attempt for r in records if r.statement.startswith("BEGIN")] == [*attempts, len(lost) + 1]
    assert [r.attempt for r in records if r.sqlstate == "40001"] == attempts


def deadlock(play: Play, options: str) -> RunResult:
    return play(
        f"""
        -- chaos:setup
        CREATE TABLE t (id int PRIMARY KEY, n int);
        INSERT INTO t VALUES (1, 0), (2, 0);
        -- chaos:session s x 2 {options}
        SET deadlock_timeout = '10ms';
        BEGIN;
        UPDATE t SET n = n + 1 WHERE id = :worker;
        -- chaos:barrier crossed
        UPDATE t SET n = n + 1 WHERE id = 3 - :worker;
        COMMIT;
        -- chaos:check
        SELECT is(sum(n), 4::bigint, 'both counted') FROM t;
        """
    )


def test_a_deadlock_is_retried(play: Play) -> None:
    result = deadlock(play, "retry deadlock_detected")
    assert held(result) == ["both counted"]
    blocks = [row for row in outcomes(result, "s") if row[2]]
    # who is quick to begin again may take its row before the other wakes, and meet it in a second deadlock
    for worker in (1, 2):
        *lost, last = sorted(row[1:] for row in blocks if row[0] == worker)
        assert lost == [(attempt, True, "rolled back", "40P01") for attempt in range(1, len(lost) + 1)]
        assert last == (len(lost) + 1, True, "committed", "00000")
    assert len(blocks) > 2


def test_without_retry_a_deadlock_is_unexpected(play: Play) -> None:
    failure = only(deadlock(play, "retry none"))
    assert (failure.kind, failure.names) == ("error", ("40P01", "deadlock_detected"))


FAILS_TWICE = """
    -- chaos:setup
    CREATE SEQUENCE tries;
    CREATE FUNCTION try(times int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('tries') <= times THEN RAISE serialization_failure USING MESSAGE = 'again'; END IF;
        RETURN currval('tries');
    END $$;
"""


def test_a_block_finds_its_variables_as_they_were_at_its_begin(play: Play) -> None:
    result = play(
        FAILS_TWICE
        + """
    -- chaos:session s retry 40001
    \\set n 1
    SELECT 10 AS got \\gset
    BEGIN;
    SELECT chaos.assert(:n = 1 AND :got = 10, 'as they were');
    \\set n 2
    SELECT 20 AS got \\gset
    SELECT try(2);
    COMMIT;
    SELECT chaos.assert(:n = 2 AND :got = 20, 'as the last attempt left them');
"""
    )
    assert held(result) == ["as they were", "as the last attempt left them"]
    assert {a.name: a.count for a in result.assertions}["as they were"] == "3 of 3"
    assert outcomes(result, "s")[1:4] == [
        (1, 1, True, "rolled back", "40001"),
        (1, 2, True, "rolled back", "40001"),
        (1, 3, True, "committed", "00000"),
    ]


def test_an_if_around_the_block_is_as_it_was_too(play: Play) -> None:
    result = play(
        FAILS_TWICE
        + """
    -- chaos:session s retry 40001
    \\if true
    BEGIN;
    \\if true
    SELECT try(1);
    \\endif
    COMMIT;
    \\endif
    SELECT 'end';
    -- chaos:check
    SELECT pass('checked');
"""
    )
    assert held(result) == ["checked"]
    assert texts(said(result, "s")) == [
        "BEGIN",
        "SELECT try(1)",
        "BEGIN",
        "SELECT try(1)",
        "COMMIT",
        "SELECT 'end'",
    ]


def test_outside_a_block_the_statement_is_retried(play: Play) -> None:
    result = play(
        FAILS_TWICE + "-- chaos:session s retry 40001\nSELECT try(2);\n-- chaos:check\nSELECT pass('checked');"
    )
    assert held(result) == ["checked"]
    assert [(r.attempt, r.sqlstate) for r in said(result, "s")] == [(1, "40001"), (2, "40001"), (3, "00000")]
    assert [row[1:] for row in outcomes(result, "s")] == [
        (1, False, "rolled back", "40001"),
        (2, False, "rolled back", "40001"),
        (3, False, "committed", "00000"),
    ]


@pytest.mark.parametrize(("limit", "words"), [(1, "(after 1 retry)"), (2, "(after 2 retries)")])
def test_exhausted_it_is_an_unexpected_error_that_names_the_retries(play: Play, limit: int, words: str) -> None:
    result = play(
        FAILS_TWICE
        + f"""
    -- chaos:session s retry 40001 up to {limit} backoff 1ms
    SELECT try(9);
    -- chaos:check
    SELECT pass('never');
"""
    )
    failure = only(result)
    assert failure.text.endswith(words)
    assert "40001" in failure.names
    assert len(said(result, "s")) == limit + 1
    assert result.assertions == []


def test_a_backoff_that_doubles_often_stays_a_pause(play: Play) -> None:
    result = play(
        FAILS_TWICE
        + """
    -- chaos:session s retry 40001 up to 100000000 backoff 1ms
    SELECT try(6);
    -- chaos:check
    SELECT pass('checked');
"""
    )
    assert held(result) == ["checked"]


@pytest.mark.parametrize("directive", ["expect", "allow"])
def test_expect_and_allow_win_over_retry(play: Play, directive: str) -> None:
    result = play(
        FAILS_TWICE
        + f"""
    -- chaos:session s retry 40001
    -- chaos:{directive} 40001
    SELECT try(1);
    -- chaos:check
    SELECT pass('checked');
"""
    )
    assert held(result) == ["checked"]
    assert [r.attempt for r in said(result, "s")] == [1]


def test_an_open_barrier_stays_open_for_a_retry(play: Play) -> None:
    result = play(
        FAILS_TWICE
        + """
    -- chaos:session s retry 40001
    BEGIN;
    -- chaos:barrier met
    SELECT try(1);
    COMMIT;
    -- chaos:session other
    -- chaos:barrier met
    SELECT 1;
    -- chaos:check
    SELECT pass('checked');
"""
    )
    assert held(result) == ["checked"]


def test_a_block_opened_by_and_chain_has_no_begin_to_go_back_to(play: Play) -> None:
    result = play(
        FAILS_TWICE
        + """
    -- chaos:session s retry 40001
    BEGIN;
    SELECT 1;
    COMMIT AND CHAIN;
    SELECT try(1);
    COMMIT;
    -- chaos:check
    SELECT pass('never');
"""
    )
    assert only(result).names == ("40001", "serialization_failure")
    assert outcomes(result, "s")[0] == (1, 1, True, "committed", "00000")
