"""The connection of faults, which is replaced if it is lost, and the connections that `fill connections` takes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import TypeVar

from pgchaos.engine.blocking import in_thread
from pgchaos.engine.connect import is_recovering
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.faults.actions import NotDelivered, Row, deadline
from pgchaos.engine.notices import session_conninfo
from pgchaos.engine.waits import Mutex, sleep
from pgchaos.server import PrivateServer
from pgchaos.server.conninfo import NO_TIMEOUTS, OWN_SETTINGS
from pgchaos.server.free_slot import TOO_MANY_CONNECTIONS
from pgchaos.stop import Stop

T = TypeVar("T")

_PATIENCE = 30.0
"""Seconds for one query."""
_GONE_WITHIN = 5.0
"""Seconds for the backends of closed connections to end."""
_MOST = 10_000
_POLL_INTERVAL = 0.002


class FaultConnection:
    """Runs the queries of faults. See `actions.ServerAccess`.

    Attributes:
        cleanup_stop: the argument.
        holding: locked while commits are held.
        until: when the time of the sessions is over, on `time.monotonic()`: no query takes much longer.
        standby_set: whether commits may wait for a standby that a fault has set.
    """

    def __init__(self, factory: ConnectionFactory, cleanup_stop: Stop, pids: set[int]) -> None:
        self._factory, self.cleanup_stop, self._pids = factory, cleanup_stop, pids
        self._mutex = Mutex()
        self._connection: Connection | None = None
        self._taken: list[Connection] = []
        self.holding = Mutex()
        self.until = math.inf
        self.standby_set = False

    @property
    def server_control(self) -> PrivateServer | None:
        """The server itself, if we started it."""
        return self._factory.sandbox.server_control

    @property
    def full(self) -> bool:
        """Whether all connections are taken."""
        return bool(self._taken)

    async def ask(self, query: str) -> list[Row] | None:
        """See `actions.ServerAccess`."""
        async with self._mutex:
            return await self._ask(query)

    async def _ask(self, query: str) -> list[Row] | None:
        try:
            connection = await self._open()
        except ConnectionLost:
            return None
        answer = await connection.execute(query, deadline=deadline(time.monotonic(), _PATIENCE, self))
        if connection.silent:
            self._factory.note_silence()
        if answer.error is None:
            return [*answer.rows()]
        if answer.error.lost or not connection.alive:
            return None
        if answer.interrupted:
            raise NotDelivered("it had not had its effect when the time of the sessions was over")
        raise NotDelivered(f"{answer.error.message} ({answer.error.sqlstate})")

    def backend_start(self, pid: int) -> str:
        """See `actions.ServerAccess`."""
        return self._factory.backend_starts.get(pid, "")

    async def do(self, work: Callable[[], T]) -> T:
        """See `actions.ServerAccess`."""
        return await in_thread(work, "fault")

    async def sleep(self, seconds: float) -> None:
        """See `actions.ServerAccess`."""
        await sleep(seconds)

    async def _open(self) -> Connection:
        if self._connection is None or not self._connection.alive:
            await self._shut()
            self._connection = await self.open_another()
        return self._connection

    async def open_another(self) -> Connection:
        """Open another connection, which the caller ends.

        Raises:
            ConnectionLost: the server refused.
        """
        connection = await self._factory.open("fault", self.cleanup_stop, OWN_SETTINGS)
        self._pids.add(connection.pid)
        return connection

    async def _shut(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.end()

    async def refused(self) -> bool:
        """See `actions.ServerAccess`."""
        try:
            connection = await self.open_another()
        except ConnectionLost as refused:
            return is_recovering(refused.error)
        await connection.end()
        return False

    async def take_connections(self) -> None:
        """See `actions.ServerAccess`. The connection of faults is kept for later ones."""
        async with self._mutex:
            await self._ask("")
            # they are idle for as long as the fault lasts
            conninfo = session_conninfo(self._factory.sandbox.conninfo, "fault", NO_TIMEOUTS)
            while len(self._taken) < _MOST:
                try:
                    connection = await Connection.open(conninfo, self.cleanup_stop, seconds=self._factory.connect_limit)
                except ConnectionLost as refused:
                    if refused.error.sqlstate != TOO_MANY_CONNECTIONS:
                        raise NotDelivered(refused.error.message) from None
                    return
                self._taken.append(connection)
                self._pids.add(connection.pid)

    async def release_connections(self) -> None:
        """Close the taken connections, and wait until the server has free ones."""
        async with self._mutex:
            taken, self._taken = self._taken, []
            for connection in taken:
                await connection.end()
            pids = ",".join(str(connection.pid) for connection in taken)
            query = f"SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE pid = ANY ('{{{pids}}}')"
            with contextlib.suppress(NotDelivered):  # the server cannot be asked: the next use shows why
                until = time.monotonic() + _GONE_WITHIN
                while (
                    taken and (rows := await self._ask(query)) and rows[0][0] != "0" and not self.cleanup_stop.is_set()
                ):
                    if time.monotonic() > until:
                        return
                    await sleep(_POLL_INTERVAL)  # polled: the end of a backend is not reported

    async def close(self) -> None:
        """Close all connections."""
        taken, self._taken = self._taken, []
        for connection in taken:
            await connection.end()
        await self._shut()
