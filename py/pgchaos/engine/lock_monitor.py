"""Looks at the server to see who waits for whom, while nobody else uses the connection for that.

`pg_blocking_pids` sees heavyweight locks, and a prepared transaction as pid 0; who waits for a safe snapshot is told by
`pg_safe_snapshot_blocking_pids` (PostgreSQL docs, "Session Information Functions").
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from psycopg import pq

from pgchaos import clock
from pgchaos.engine import other_backends
from pgchaos.engine.answer import Answer
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.coordinator import Coordinator
from pgchaos.results import StoppedSession
from pgchaos.schedule.step_points import PREPARED

if TYPE_CHECKING:
    from pgchaos.engine.session_pool import SessionPool

_TIGHT = 0.001
_LOOSE = 0.02
"""Seconds between looks: while somebody waits for others to be blocked, and else."""
_LONG = 0.005
"""Seconds that a statement may take before it is looked at without being asked for."""
_LEAST = 1.0
"""Seconds that a look may take at least, also where the time of the sessions is over."""
_PATIENCE = 10.0
"""Seconds for one look."""
WAITS = """
    SELECT pid, wait_event_type, array_to_string(CASE wait_event WHEN 'SafeSnapshot'
           THEN pg_catalog.pg_safe_snapshot_blocking_pids(pid) ELSE pg_catalog.pg_blocking_pids(pid) END, ',')
      FROM pg_catalog.pg_stat_get_activity(NULL)
     WHERE pid = ANY ($1) AND wait_event_type IN ('Lock', 'IPC', 'Extension')
        -- what a session has called by dblink waits in a backend of its own
        OR wait_event_type = 'Lock' AND datid = (
           SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""
"""Who of some backends waits, and for whom."""
_MAY_SET = 150000
"""The first version whose roles other than superusers may be allowed a setting of theirs (GRANT SET ON PARAMETER)."""


class LockMonitor:
    """Watches the sessions of a coordinator; `connect` gives a connection that nobody else uses meanwhile."""

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], coordinator: Coordinator, pool: SessionPool | None = None
    ) -> None:
        self._connect, self._coordinator, self._pool = connect, coordinator, pool
        self._connection: Connection | None = None
        self.until = math.inf
        """When the time of the sessions is over, on `time.monotonic()`: no look lasts much longer."""

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
            # a cancel that comes late must not meet what is asked next
            self._connection.abort()
            self._connection = None
        return answer

    async def watch(self, seconds: float) -> bool:
        """Watch until all sessions have ended or the run is stopped."""
        coordinator, until = self._coordinator, time.monotonic() + seconds
        while not coordinator.is_over():
            left = until - time.monotonic()
            if left <= 0:
                return False
            asked = coordinator.needs_polling()
            await self.poll(0.0 if asked else _LONG, min(_PATIENCE, left + _LOOSE))
            if asked or self._connection is None:
                await coordinator.pause(_TIGHT if self._connection is not None else _LOOSE)
            else:
                await coordinator.rest(min(_LOOSE, left))
        return True

    async def poll(self, longer_than: float = 0.0, patience: float = _PATIENCE) -> None:
        """Look once, and tell the coordinator.

        Args:
            longer_than: leave out statements that have not run so many seconds.
            patience: seconds that the server has to answer.
        """
        asked, tickets = clock.now(), self._coordinator.busy(longer_than)
        if not tickets:
            self._coordinator.see({}, {}, asked)
            return
        links = await self._pool.look() if self._pool is not None else None
        backends = tickets if links is None else [pid for one, pid in links.backends.items() if one in tickets]
        pids = f"'{{{','.join(map(str, backends))}}}'"
        prepared = self._connection.prepared.get(WAITS) if self._connection is not None else None
        answer = await self._ask(f"{prepared} ({pids})" if prepared else WAITS.replace("$1", pids), patience)
        rows = answer.rows()
        waits = {int(pid): tuple(map(int, by.split(","))) for pid, _, by in rows if pid and by}
        if links is not None:
            waits = links.of_sessions(waits)
            self._coordinator.states.served = {pid: number for number, pid in links.backends.items()}
        await self._note_others(tickets, waits, {int(pid): event for pid, event, _ in rows if pid})
        self._coordinator.see(tickets, {pid: by for pid, by in waits.items() if pid in tickets}, asked)

    async def _note_others(
        self, tickets: Mapping[int, int], waits: Mapping[int, tuple[int, ...]], events: Mapping[int, str | None]
    ) -> None:
        """Name the backends that are no sessions, where one of them waits or is waited for."""
        states = self._coordinator.states
        callers = states.callers(tickets, events)
        waiting = [pid for pid in waits if pid not in states.actors] if callers else []
        unknown = {*waiting, *(by for pid, others in waits.items() if pid in tickets for by in others)}
        unknown -= {PREPARED, *states.actors, *states.strangers}
        if unknown:
            answer = await self._ask(other_backends.query(unknown))
            rows = answer.rows()
            states.strangers |= other_backends.names(rows, states.actors)
        for pid in waiting:
            waits_for = f"{states.name(pid)}, which waits for {', '.join(map(states.name, waits[pid]))}"
            for record in callers:
                if waits_for not in record.blocked_by:
                    record.blocked_by += (waits_for,)

    async def settings(self) -> tuple[bool, bool]:
        """Tell what every session begins with.

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
        # this session has none of its own; the view of all settings would take ten times as long
        answer = await self._ask(
            "SELECT count(*) FROM unnest(ARRAY['lock_timeout', 'statement_timeout', 'transaction_timeout',"
            " 'idle_in_transaction_session_timeout']) name"
            f" WHERE pg_catalog.current_setting(name, true) <> '0'; {may}"
        )
        said = answer.rows()
        return ("0",) in said[:1], ("t",) in said[1:]

    @property
    def is_usable(self) -> bool:
        """Whether the server can be asked, as far as is known: no look is waited for that takes a new connection."""
        return self._connection is not None and self._connection.is_usable()

    async def describe(self, pid: int) -> str:
        """Tell what a backend is that is none of ours."""
        if pid == PREPARED:
            return other_backends.pid_text(pid)
        answer = await self._ask(other_backends.query((pid,)))
        rows = answer.rows()
        return other_backends.names(rows, self._coordinator.states.actors).get(pid, other_backends.pid_text(pid))

    async def waiting_strangers(self) -> list[StoppedSession]:
        """Tell of the backends of this database that are no sessions, and wait for a lock of one."""
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
