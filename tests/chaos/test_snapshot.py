"""What has changed in a database, row by row."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.chaos.utils import AsyncDatabaseStateSnapshot, DatabaseStateSnapshot

pytestmark = pytest.mark.chaos

Sync = psycopg.Connection[dict[str, Any]]
QUERY = "SELECT id, owner FROM account ORDER BY id"
BACKWARDS = "SELECT id, owner FROM account ORDER BY id DESC"


@pytest.fixture
def snapshot(sync_conn: Sync) -> DatabaseStateSnapshot:
    sync_conn.execute("CREATE TEMP TABLE account (id int, owner text) ON COMMIT DROP")
    sync_conn.execute("INSERT INTO account VALUES (1, 'Ann'), (2, 'Bob'), (3, NULL)")
    result = DatabaseStateSnapshot(sync_conn)
    result.capture("accounts", QUERY)
    return result


def test_nothing_has_changed(snapshot: DatabaseStateSnapshot) -> None:
    assert snapshot.compare("accounts", QUERY) == (True, "accounts: unchanged (3 rows)")


def test_rows_that_differ_are_shown(snapshot: DatabaseStateSnapshot, sync_conn: Sync) -> None:
    sync_conn.execute("UPDATE account SET owner = 'Eve' WHERE id = 2")
    sync_conn.execute("DELETE FROM account WHERE id = 3")
    same, message = snapshot.compare("accounts", QUERY)
    assert not same
    assert message.splitlines() == [
        "accounts: 3 rows became 2: 2 gone (-), 1 new (+)",
        "  - id=2, owner='Bob'",
        "  - id=3, owner=None",
        "  + id=2, owner='Eve'",
    ]


def test_a_row_that_is_there_twice_counts_twice(snapshot: DatabaseStateSnapshot, sync_conn: Sync) -> None:
    sync_conn.execute("INSERT INTO account VALUES (1, 'Ann')")
    same, message = snapshot.compare("accounts", QUERY, ordered=False)
    assert (same, message.splitlines()[1:]) == (False, ["  + id=1, owner='Ann'"])


def test_order_counts_by_default(snapshot: DatabaseStateSnapshot) -> None:
    same, message = snapshot.compare("accounts", BACKWARDS)
    assert not same
    assert message.startswith("accounts: the same 3 rows in another order\n")
    assert "  + id=3, owner=None" in message.splitlines()
    expected = (True, "accounts: unchanged (3 rows, in another order)")
    assert snapshot.compare("accounts", BACKWARDS, ordered=False) == expected


def test_other_columns_are_reported(snapshot: DatabaseStateSnapshot) -> None:
    same, message = snapshot.compare("accounts", "SELECT id FROM account ORDER BY id")
    assert (same, message) == (False, "accounts: columns (id, owner) became (id)")


def test_many_rows_are_cut_short(sync_conn: Sync) -> None:
    snapshot = DatabaseStateSnapshot(sync_conn)
    snapshot.capture("numbers", "SELECT g FROM generate_series(1, %s) AS g", [3])
    _, message = snapshot.compare("numbers", "SELECT g FROM generate_series(1, %s) AS g", [1003])
    lines = message.splitlines()
    assert lines[0] == "numbers: 3 rows became 1003: 0 gone (-), 1000 new (+)"
    assert (len(lines), lines[-1].strip()) == (22, "… and 980 more")


def test_values_that_cannot_be_hashed_or_equal_nothing(sync_conn: Sync) -> None:
    snapshot = DatabaseStateSnapshot(sync_conn)
    query = "SELECT '{\"a\": [1]}'::jsonb AS j, ARRAY[1, 2] AS a, 'NaN'::float8 AS n"
    snapshot.capture("odd", query)
    assert snapshot.compare("odd", query, ordered=False)[0]


def test_an_unknown_snapshot_is_refused(snapshot: DatabaseStateSnapshot) -> None:
    with pytest.raises(KeyError, match=r"no snapshot 'acounts'; known: 'accounts'"):
        snapshot.compare("acounts", QUERY)


def test_a_statement_without_rows_is_refused(snapshot: DatabaseStateSnapshot) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="query that returns rows"):
        snapshot.capture("nothing", "SET work_mem = '1MB'")


async def test_the_same_for_an_asynchronous_connection(async_conn: psycopg.AsyncConnection[dict[str, Any]]) -> None:
    await async_conn.execute("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1 AS a")
    snapshot = AsyncDatabaseStateSnapshot(async_conn)
    await snapshot.capture("t", "SELECT a FROM t")
    assert (await snapshot.compare("t", "SELECT a FROM t"))[0]
    await async_conn.execute("UPDATE t SET a = 2")
    same, message = await snapshot.compare("t", "SELECT a FROM t")
    assert (same, message.splitlines()[1:]) == (False, ["  - a=1", "  + a=2"])
