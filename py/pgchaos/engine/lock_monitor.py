"""Takes snapshots of which backend blocks which.

`pg_blocking_pids` reports heavyweight locks, and a prepared transaction as pid 0. `pg_safe_snapshot_blocking_pids`
reports waits for a safe snapshot (PostgreSQL docs, "Session Information Functions").
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from psycopg import pq

from pgchaos import clock
from pgchaos.engine import other_backends
from pgchaos.engine.answer import Answer
from pgchaos.engine.called_backends import CalledBackends
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.coordinator import Coordinator
from pgchaos.results import StoppedSession
from pgchaos.schedule.step_points import PREPARED

if TYPE_CHECKING:
    from pgchaos.engine.session_pool import SessionPool

_TIGHT = 0.001
_LOOSE = 0.02
"""Seconds between snapshots: while a session waits for others to be blocked, and otherwise."""
_LONG = 0.005
"""Seconds that a statement runs before it is in a snapshot that no session waits for."""
_LEAST = 1.0
"""Seconds that a snapshot may always take, even if the time of the sessions is over."""
_PATIENCE = 10.0
"""Seconds for one snapshot."""
WAITS = """
    SELECT pid, wait_event_type, array_to_string(CASE wait_event WHEN 'SafeSnapshot'
           THEN pg_catalog.pg_safe_snapshot_blocking_pids(pid) ELSE pg_catalog.pg_blocking_pids(pid) END, ',')
      FROM pg_catalog.pg_stat_get_activity(NULL)
     WHERE pid = ANY ($1) AND wait_event_type IN ('Lock', 'IPC', 'Extension')
        -- what a session has called by dblink waits in a backend of its own
        OR wait_event_type = 'Lock' AND datid = (
           SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""
"""Which of some backends wait, and which backends block them."""
_MAY_SET = 150000
"""The first version with GRANT SET ON PARAMETER for roles other than superusers."""


class LockMonitor:
    """Monitors the sessions of a coordinator.

    Args:
        connect: opens a connection that nothing else uses.
        coordinator: of the sessions.
        pool: of the sessions, behind a pooler.
        only_ours: no other program uses the scenario's database.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        coordinator: Coordinator,
        pool: SessionPool | None = None,
        *,
        only_ours: bool = False,
    ) -> None:
        self._connect, self._coordinator, self._pool = connect, coordinator, pool
        self._called = CalledBackends(self._ask, coordinator, only_ours=only_ours)
        self._connection: Connection | None = None
        self.until = math.inf
        """When the time of the sessions is over, on `time.monotonic()`: no snapshot takes much longer."""

    async def begin(self) -> None:
        """Connect.

        Raises:
            ConnectionLost: the server refused the connection.
        """
        self._connection = await self._connect()

    async def _ask(self, query: str, patience: float = _PATIENCE) -> Answer:
        if self._connection is None or not self._connection.alive:
            try:
                self._connection = await self._connect()
            except ConnectionLost as refused:
                self._connection = None
                return Answer(pq.TransactionStatus.UNKNOWN, error=refused.error)
        now = time.monotonic()
        answer = await self._connection.execute(query, deadline=min(now + patience, max(now + _LEAST, self.until)))
        if answer.interrupted:
            # a late cancel must not hit the next query
            self._connection.abort()
            self._connection = None
        return answer

    async def watch(self, seconds: float) -> bool:
        """Take snapshots until all sessions have ended or the run is stopped; False if the time is over before."""
        coordinator, until = self._coordinator, time.monotonic() + seconds
        while not coordinator.is_over():
            left = until - time.monotonic()
            if left <= 0:
                return False
            needed = coordinator.needs_polling()
            await self.poll(0.0 if needed else _LONG, min(_PATIENCE, left + _LOOSE))
            if needed or self._connection is None:
                await coordinator.pause(_TIGHT if self._connection is not None else _LOOSE)
            else:
                await coordinator.wait_until_needed(min(_LOOSE, left))
        return True

    async def poll(self, longer_than: float = 0.0, patience: float = _PATIENCE) -> None:
        """Take a snapshot, and pass it to the coordinator.

        Args:
            longer_than: leave out statements that have run for fewer seconds.
            patience: seconds for the server to answer.
        """
        taken_at, tickets = clock.now(), self._coordinator.busy(longer_than)
        if not tickets:
            self._coordinator.add_snapshot({}, {}, taken_at)
            return
        links = await self._pool.query_links() if self._pool is not None else None
        backends = tickets if links is None else [pid for one, pid in links.backends.items() if one in tickets]
        pids = f"'{{{','.join(map(str, backends))}}}'"
        prepared = self._connection.prepared.get(WAITS) if self._connection is not None else None
        answer = await self._ask(f"{prepared} ({pids})" if prepared else WAITS.replace("$1", pids), patience)
        rows = answer.rows()
        waits = {int(pid): tuple(map(int, by.split(","))) for pid, _, by in rows if pid and by}
        if links is not None:
            waits = links.of_sessions(waits)
            self._coordinator.states.served = {pid: number for number, pid in links.backends.items()}
        waits = await self._called.by_session(tickets, waits, {int(pid): event for pid, event, _ in rows if pid})
        self._coordinator.add_snapshot(tickets, {pid: by for pid, by in waits.items() if pid in tickets}, taken_at)

    async def settings(self) -> tuple[bool, bool]:
        """Read defaults that every session begins with.

        Returns:
            Whether sessions wait for locks without limit, and whether our role may set deadlock_timeout.
        """
        if self._connection is None:
            return False, False
        if self._connection.settings is None:
            self._connection.settings = await self._settings(self._connection.version)
        return self._connection.settings

    async def _settings(self, version: int) -> tuple[bool, bool]:
        may = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
        if version >= _MAY_SET:
            may = "SELECT pg_catalog.has_parameter_privilege('deadlock_timeout', 'SET')"
        # this connection has the defaults; pg_settings would take ten times as long
        answer = await self._ask(
            "SELECT count(*) FROM unnest(ARRAY['lock_timeout', 'statement_timeout', 'transaction_timeout',"
            " 'idle_in_transaction_session_timeout']) name"
            f" WHERE pg_catalog.current_setting(name, true) <> '0'; {may}"
        )
        rows = answer.rows()
        return ("0",) in rows[:1], ("t",) in rows[1:]

    @property
    def is_usable(self) -> bool:
        """Whether there is a usable connection, so that a query needs no new one."""
        return self._connection is not None and self._connection.is_usable()

    async def describe(self, pid: int) -> str:
        """Describe a backend that is not a session."""
        if pid == PREPARED:
            return other_backends.pid_text(pid)
        answer = await self._ask(other_backends.query((pid,)))
        states, backends = self._coordinator.states, other_backends.read(answer.rows())
        return states.foreign_backends.get(pid) or other_backends.names(backends, states.actors).get(
            pid, other_backends.pid_text(pid)
        )

    async def waiting_backends(self) -> list[StoppedSession]:
        """List the backends of this database that are not sessions, and wait for a lock of one."""
        answer = await self._ask(
            "SELECT pid, array_to_string(pg_catalog.pg_blocking_pids(pid), ',') FROM pg_catalog.pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = pg_catalog.current_database()"
        )
        states = self._coordinator.states
        rows = answer.rows()
        waits = {int(pid): tuple(map(int, by.split(","))) for pid, by in rows if pid and by}
        return [
            StoppedSession(await self.describe(pid), None, "is blocked", None, tuple(map(states.name, by)))
            for pid, by in waits.items()
            if pid not in states.actors and not states.actors.keys().isdisjoint(by)
        ]
