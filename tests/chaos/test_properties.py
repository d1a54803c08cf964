"""Properties that must hold for every example, over fixtures that last through all of them."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.chaos.utils import AsyncDatabaseStateSnapshot, ChaosExecutor, with_retry_sync

pytestmark = [pytest.mark.chaos, pytest.mark.concurrent]

Sync = psycopg.Connection[dict[str, Any]]
Async = psycopg.AsyncConnection[dict[str, Any]]


@settings(max_examples=15)
@given(amounts=st.lists(st.integers(-50, 50), min_size=2, max_size=10))
def test_transfers_that_meet_lose_no_money(
    sync_conn: Sync,
    isolated_schema: str,
    conn_pool: list[psycopg.Connection],
    concurrent_executor: ChaosExecutor,
    amounts: list[int],
) -> None:
    sync_conn.execute("DROP TABLE IF EXISTS account")
    sync_conn.execute("CREATE TABLE account AS SELECT id, 1000 AS balance FROM generate_series(1, 2) AS id")
    sync_conn.commit()
    account = sql.Identifier(isolated_schema, "account")
    read = sql.SQL("SELECT balance FROM {} WHERE id = %s").format(account)
    write = sql.SQL("UPDATE {} SET balance = %s WHERE id = %s").format(account)
    meeting = threading.Barrier(len(amounts), timeout=60)

    def transfer(conn: psycopg.Connection, amount: int) -> None:
        def once() -> None:
            with conn.transaction():
                conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                balances = [row[0] for id in (1, 2) for row in conn.execute(read, [id])]
                conn.execute(write, [balances[0] - amount, 1])
                conn.execute(write, [balances[1] + amount, 2])

        meeting.wait()
        with_retry_sync(once, max_attempts=50, backoff=0.001, retry_on=["40001"])

    pairs = zip(conn_pool, amounts, strict=False)
    for future in [concurrent_executor.submit(transfer, conn, amount) for conn, amount in pairs]:
        future.result(20)
    rows = sync_conn.execute("SELECT balance FROM account ORDER BY id").fetchall()
    sync_conn.commit()
    assert [row["balance"] for row in rows] == [1000 - sum(amounts), 1000 + sum(amounts)]


@settings(max_examples=25)
@given(values=st.lists(st.integers(-1000, 1000), max_size=8), divisor=st.integers(-2, 2))
async def test_a_transaction_happens_as_a_whole_or_not_at_all(
    async_conn: Async, values: list[int], divisor: int
) -> None:
    await async_conn.execute("CREATE TEMP TABLE IF NOT EXISTS quotient (value int)")
    await async_conn.commit()
    snapshot = AsyncDatabaseStateSnapshot(async_conn)
    query = "SELECT value FROM quotient ORDER BY value"
    await snapshot.capture("before", query)
    await async_conn.commit()
    fails = bool(values) and divisor == 0
    try:
        async with async_conn.transaction():
            for value in values:
                await async_conn.execute("INSERT INTO quotient VALUES (%s / %s)", [value, divisor])
    except psycopg.errors.DivisionByZero:
        assert fails
    else:
        assert not fails
    same, message = await snapshot.compare("before", query)
    assert same is (fails or not values), message
