"""Lists the transactions and locks of a database, over a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

_TRANSACTIONS = """
    SELECT pid, application_name, state, query, wait_event_type, wait_event,
           xact_start, backend_xid IS NOT NULL AS writes, pg_catalog.pg_blocking_pids(pid) AS blocked_by
    FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_catalog.pg_backend_pid() AND xact_start IS NOT NULL
      AND backend_type = 'client backend'
    ORDER BY xact_start, pid
"""
_LOCKS = """
    SELECT l.locktype, CASE WHEN l.relation IS NOT NULL THEN l.relation::regclass::text END AS relation,
           l.mode, l.granted, l.pid,
           CASE WHEN l.granted OR l.pid IS NULL THEN '{}'::int[]
                ELSE pg_catalog.pg_blocking_pids(l.pid) END AS blocked_by
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
      AND (l.database IS NULL OR l.database IN (0, (SELECT oid FROM pg_catalog.pg_database
                                                    WHERE datname = current_database())))
      AND (a.datname = current_database() OR l.pid IS NULL)
    ORDER BY l.pid, l.locktype, l.mode, relation
"""
_BLOCKED = "SELECT pg_catalog.cardinality(pg_catalog.pg_blocking_pids(%s)) > 0 AS blocked"


class TransactionMonitor(Mapping[str, Callable[[], list[Row]]]):
    """Lists transactions and locks of the other sessions of a database. No lock of these sessions blocks it.

    `monitor["transactions"]()` and `monitor["locks"]()` are the methods of these names.

    Args:
        conninfo: of the database.

    Raises:
        psycopg.OperationalError: it cannot be reached.
    """

    def __init__(self, conninfo: str) -> None:
        self._conn = psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)

    @property
    def pid(self) -> int:
        """The process id of the monitor's own backend."""
        return self._conn.info.backend_pid

    def transactions(self) -> list[Row]:
        """List the open transactions, the oldest first.

        Returns:
            pid, application_name, state, query (the last one), wait_event_type, wait_event, xact_start, writes (whether
            it has changed something) and blocked_by (pids; 0 for a prepared transaction).

        Raises:
            psycopg.Error: the server does not answer.
        """
        return self._conn.execute(_TRANSACTIONS).fetchall()

    def locks(self) -> list[Row]:
        """List the locks that are held or waited for.

        Returns:
            locktype, relation (its name), mode, granted, pid (None for a prepared transaction's) and blocked_by (pids).

        Raises:
            psycopg.Error: the server does not answer.
        """
        return self._conn.execute(_LOCKS).fetchall()

    def wait_until_blocked(self, pid: int, limit: float = 10.0) -> None:
        """Wait until a session waits for a lock of another one.

        Args:
            pid: of its backend.
            limit: seconds to wait.

        Raises:
            TimeoutError: it was not blocked in time.
            psycopg.Error: the server does not answer.
        """
        end = time.monotonic() + limit
        while True:
            row = self._conn.execute(_BLOCKED, [pid]).fetchone()
            if row is not None and row["blocked"]:
                return
            if time.monotonic() > end:
                raise TimeoutError(f"session {pid} was not blocked within {limit:g} s")
            time.sleep(0.002)  # polled: the server sends no event when a session is blocked

    def close(self) -> None:
        """Close the connection; further calls do nothing."""
        self._conn.close()

    def __getitem__(self, name: str) -> Callable[[], list[Row]]:
        """Return the method `transactions` or `locks`."""
        return {"transactions": self.transactions, "locks": self.locks}[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("transactions", "locks"))

    def __len__(self) -> int:
        return 2
