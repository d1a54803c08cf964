"""A lock on a server that other runs may use too, such as the workers of pytest-xdist.

Runs share it while they run scenarios; a scenario that must be alone holds it exclusively. It works between runs that
use the same database. Within one process, jobs wait for each other in ConnectionSemaphore.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.loop import run_sync
from pgchaos.server.conninfo import NO_TIMEOUTS, for_version, with_settings
from pgchaos.server.health import ServerHealth
from pgchaos.stop import Stop

# The key of the advisory lock: `pgch` in ASCII, and 0.
KEY = "1885823848, 0"
_ATTEMPTS = 5  # connections that may be lost while waiting for the lock
_UNLOCK_LIMIT = 2.0  # seconds
# Seconds to connect, and for the first response. After that the run continues without the lock, and reports the server.
_ANSWER_LIMIT = 5.0


class ServerLock:
    """The lock of one process: an advisory lock on a connection of its own, shared or exclusive.

    An advisory lock belongs to one database, so all runs must connect to the same one. A crash of the server releases
    every lock: then a scenario that must be alone may not be alone any more.
    """

    def __init__(self, conninfo: str, version: int, health: ServerHealth) -> None:
        self._health = health
        # timeouts of the role must not end a long wait
        self._conninfo = with_settings(conninfo, for_version(NO_TIMEOUTS, version))
        self._stop = Stop()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._holders = 0

    @contextmanager
    def acquire(self, *, alone: bool) -> Iterator[None]:
        """Wait for the lock, and hold it within the context; for `alone`, no other job of this process may hold it."""
        # the first holder locks for the whole process, the last one unlocks
        with self._lock:
            if not self._holders:
                self._wait("" if alone else "_shared")
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    # a connection that does not answer is closed, which unlocks too
                    self._query("SELECT pg_catalog.pg_advisory_unlock_all()", _UNLOCK_LIMIT)

    def _wait(self, kind: str) -> None:
        # the wait has no limit: first check that the server answers
        if self._query(f"SELECT pg_catalog.pg_try_advisory_lock{kind}({KEY})", _ANSWER_LIMIT):
            return
        for _ in range(_ATTEMPTS):
            if self._query(f"SELECT pg_catalog.pg_advisory_lock{kind}({KEY})"):
                return

    def _query(self, query: str, seconds: float = math.inf) -> bool:
        """Send a query; return False if it must be repeated: it returned false, or the connection was lost.

        A server that does not answer cannot be locked: the run continues without the lock, and reports the server.
        """
        if self._stop.is_set() or not self._health.answers():
            return True
        try:
            if self._connection is None or not self._connection.alive:
                self._disconnect()
                self._connection = run_sync(Connection.open(self._conninfo, self._stop, seconds=_ANSWER_LIMIT))
        except ConnectionLost:
            return True
        self._connection.ends_when_late = seconds < math.inf
        answer = self._connection.ask(query, deadline=time.monotonic() + seconds)
        if answer.interrupted:
            return True
        if answer.error is not None:
            return not answer.error.lost
        return all(row != ("f",) for result in answer.results for row in result.rows())

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def stop(self) -> None:
        """End all waits for the lock."""
        self._stop.set()

    def close(self) -> None:
        """Close the connection, which releases the lock."""
        self._stop.set()
        self._disconnect()
        self._stop.close()
