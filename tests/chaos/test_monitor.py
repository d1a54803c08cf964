"""Transactions and locks, seen from outside."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.chaos.utils import ChaosExecutor, TransactionMonitor

pytestmark = [pytest.mark.chaos, pytest.mark.concurrent]

Sync = psycopg.Connection[dict[str, Any]]


@pytest.mark.parametrize("conn_pool", [2], indirect=True)
def test_a_lock_wait_is_seen(
    sync_conn: Sync,
    isolated_schema: str,
    conn_pool: list[psycopg.Connection],
    concurrent_executor: ChaosExecutor,
    transaction_monitor: TransactionMonitor,
) -> None:
    sync_conn.execute("CREATE TABLE t AS SELECT 1 AS a")
    sync_conn.commit()
    holder, waiter = (conn.info.backend_pid for conn in conn_pool)
    for conn in conn_pool:
        conn.execute(f"SET search_path = {isolated_schema}".encode())
        conn.commit()
    conn_pool[0].execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    reading = concurrent_executor.submit(conn_pool[1].execute, "SELECT a FROM t")
    transaction_monitor.wait_until_blocked(waiter)

    transactions = {row["pid"]: row for row in transaction_monitor["transactions"]()}
    assert set(transactions) == {holder, waiter}
    assert transactions[holder]["state"] == "idle in transaction"
    assert transactions[holder]["blocked_by"] == []
    assert transactions[waiter]["blocked_by"] == [holder]
    assert transactions[waiter]["wait_event_type"] == "Lock"
    assert transactions[waiter]["query"] == "SELECT a FROM t"

    relation = f"{isolated_schema}.t"
    locks = {row["pid"]: row for row in transaction_monitor["locks"]() if row["relation"] == relation}
    assert (locks[holder]["mode"], locks[holder]["granted"]) == ("AccessExclusiveLock", True)
    assert (locks[waiter]["mode"], locks[waiter]["granted"]) == ("AccessShareLock", False)
    assert locks[waiter]["blocked_by"] == [holder]

    conn_pool[0].rollback()
    assert reading.result(60).fetchone() == (1,)
    conn_pool[1].rollback()
    assert transaction_monitor.transactions() == []


def test_it_sees_what_changes_while_it_looks(sync_conn: Sync, transaction_monitor: TransactionMonitor) -> None:
    assert transaction_monitor.transactions() == []
    sync_conn.execute("SELECT pg_advisory_xact_lock(7)")
    (row,) = transaction_monitor.transactions()
    assert (row["pid"], row["writes"]) == (sync_conn.info.backend_pid, False)
    assert "advisory" in {lock["locktype"] for lock in transaction_monitor.locks()}
    sync_conn.rollback()
    assert transaction_monitor.transactions() == []
    assert "advisory" not in {lock["locktype"] for lock in transaction_monitor.locks()}


def test_a_session_that_is_not_blocked_raises_a_timeout(
    sync_conn: Sync, transaction_monitor: TransactionMonitor
) -> None:
    with pytest.raises(TimeoutError, match=f"session {sync_conn.info.backend_pid} was not blocked within 0.05 s"):
        transaction_monitor.wait_until_blocked(sync_conn.info.backend_pid, limit=0.05)


def test_it_is_a_mapping_of_its_two_methods(transaction_monitor: TransactionMonitor) -> None:
    assert dict(transaction_monitor) == {
        "transactions": transaction_monitor.transactions,
        "locks": transaction_monitor.locks,
    }
