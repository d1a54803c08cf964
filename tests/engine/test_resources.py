"""Exhausted resources: limits and time-outs, each with its SQLSTATE."""

from __future__ import annotations

import pytest

from tests.engine.playing import Play, held, said

LIMITS = {
    "little work_mem goes to disk and comes out right": (
        "work_mem = 64kB",
        "SELECT chaos.assert(count(*) = 20000, 'all of it') FROM (SELECT repeat(id::text, 20) AS t"
        " FROM generate_series(1, 20000) AS id ORDER BY t OFFSET 0) AS sorted",
        "00000",
    ),
    "temporary files are limited": (
        "temp_file_limit = 1MB",
        "SELECT repeat(id::text, 100) AS t FROM generate_series(1, 200000) AS id ORDER BY t",
        "53400",
    ),
    "the lock table is limited": (
        "max_locks_per_transaction = 10",
        "SELECT count(pg_advisory_xact_lock(id)) FROM generate_series(1, 100000) AS id",
        "53200",
    ),
    "statements are limited": ("statement_timeout = 2s", "SELECT pg_sleep(600)", "57014"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_of_the_server(play: Play, limit: str) -> None:
    setting, statement, state = LIMITS[limit]
    allow = "" if state == "00000" else f" allow {state}"
    text = (
        f"-- chaos:sandbox server\n-- chaos:server {setting}\n-- chaos:server max_connections = 20\n"
        f"-- chaos:session a{allow}\n{statement};\nSELECT chaos.assert(true, 'it goes on');\n"
    )
    result = play(text)
    assert held(result)[-1] == "it goes on"
    assert said(result, "a")[0].sqlstate == state


IDLE = """
    -- chaos:session idler
    {before}
    -- chaos:signal idles
    -- chaos:wait for gone
    -- chaos:expect {state}
    SELECT 1;
    -- chaos:session looker
    -- chaos:wait for idles
    DO $$ BEGIN
        WHILE EXISTS (
            SELECT FROM pg_stat_activity WHERE application_name = 'idler[1]' AND datname = current_database()
        ) LOOP
            PERFORM pg_sleep(0.005), pg_stat_clear_snapshot();
        END LOOP;
    END $$;
    -- chaos:signal gone
"""


@pytest.mark.parametrize(
    ("before", "state", "since"),
    [
        ("BEGIN;\n    SET LOCAL idle_in_transaction_session_timeout = '20ms';", "25P03", 14),
        ("SET idle_session_timeout = '20ms';", "57P05", 14),
        ("BEGIN;\n    SET LOCAL transaction_timeout = '20ms';", "25P04", 17),
    ],
)
def test_the_server_ends_who_idles(play: Play, before: str, state: str, since: int) -> None:
    if play.server.version < since * 10000:
        pytest.skip(f"PostgreSQL {since} has it")
    result = play(IDLE.format(before=before, state=state))
    assert held(result) == []
    assert [record.sqlstate for record in said(result, "idler")][-1] == state


def test_who_waits_for_a_lock_gives_way(play: Play) -> None:
    text = """
        -- chaos:setup
        CREATE TABLE t ();
        -- chaos:session holder
        BEGIN;
        LOCK t;
        -- chaos:signal held
        -- chaos:wait for given_way
        COMMIT;
        -- chaos:session waiter
        -- chaos:wait for held
        SET lock_timeout = '20ms';
        -- chaos:expect 55P03
        SELECT FROM t;
        -- chaos:signal given_way
    """
    assert held(play(text)) == []
