"""The sessions of a run behind a pooler: which backend of the server works for which of them, now.

A pooler gives its clients process numbers that the server does not know, and another backend with each transaction.
Each session has a number of our own instead, below zero. PgBouncer's console tells which connection to the server a
client has (`link` of SHOW CLIENTS, `ptr` and `remote_pid` of SHOW SERVERS), and who waits for one. A client keeps its
connection to the server as long as a statement runs, so what the console says of a session in a statement is right
until that ends.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from psycopg import pq

from pgchaos.engine.answer import NOT_CONNECTED, Answer, ServerError
from pgchaos.engine.connection import PATIENCE, Connection, ConnectionLost
from pgchaos.engine.waits import Mutex, sleep
from pgchaos.server.pooler import RunningPooler
from pgchaos.stop import Stop

_SERVERS_THAT_COME = frozenset({"new", "login", "idle", "used", "tested", "being_canceled"})
"""States of a connection to the server that a waiting client may get soon."""
_DEFAULT_SIZE = 20
"""PgBouncer's default_pool_size."""
_LIMITED = 0.5
"""Seconds after which a client is taken to wait for others where the pool is not full: by max_db_connections, say."""
_CANCEL_LIMIT = 0.2
"""Seconds for a cancel: PgBouncer keeps one until it has a connection to the server to spare."""
_LONGEST_NAME = 63
"""Bytes of an application_name (NAMEDATALEN)."""
_AGAIN = 0.001
"""Seconds until the console is asked again for a client that has just connected."""


class PooledSession(Connection):
    """A connection to the pooler."""

    async def _interrupt(self, answer: Answer) -> None:
        """Cancel what runs, and end the connection: a client that waits for the pool answers no cancel."""
        answer.interrupted = True
        self.deafen()
        await self.cancel(_CANCEL_LIMIT)
        self.abort()


@dataclass(frozen=True, slots=True)
class Links:
    """What the console said.

    Args:
        backends: the backend of each session that has one, by the session's number.
        waiting: the sessions that wait for a connection of the pool, which others have.
        servers: all backends of the pool.
    """

    backends: Mapping[int, int] = field(default_factory=dict)
    waiting: frozenset[int] = frozenset()
    servers: tuple[int, ...] = ()

    def of_sessions(self, waits: Mapping[int, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
        """Name sessions instead of backends in who waits for whom; who waits for the pool waits for all it serves."""
        sessions = {backend: number for number, backend in self.backends.items()}
        found = {
            sessions.get(pid, pid): tuple(sessions.get(one, one) for one in blockers) for pid, blockers in waits.items()
        }
        return found | {number: tuple(self.backends) for number in self.waiting if self.backends}


class SessionPool:
    """Opens the sessions of one run through its pooler, and asks the console."""

    def __init__(self, pooler: RunningPooler, stop: Stop) -> None:
        self._size = pooler.size or _DEFAULT_SIZE
        self._pooler, self._stop = pooler, stop
        self._console: Connection | None = None
        self._mutex = Mutex()
        self._numbers = itertools.count(-1, -1)
        self._clients: dict[str, int] = {}
        self._servers: set[int] = set()

    @property
    def servers(self) -> set[int]:
        """Every backend of the pool that was seen."""
        return self._servers

    async def open(
        self, name: str, stop: Stop, notice: Callable[[pq.abc.PGresult], None] | None, seconds: float
    ) -> Connection:
        """Connect a session to the pooler; its `pid` is a number of our own.

        Raises:
            ConnectionLost: the pooler refused.
        """
        async with self._mutex:
            number = next(self._numbers)
            shown = name if len(name.encode()) <= _LONGEST_NAME else f"session {-number}"
            connection = await PooledSession.open(self._pooler.conninfo(shown), stop, notice, seconds)
            try:
                self._clients[await self._find(shown)] = number
            except BaseException:  # Ctrl-C too: it is not left open
                await connection.end()
                raise
            connection.pid = number
            return connection

    async def _find(self, name: str) -> str:
        """Find a client that has just connected: the only one of this name, once the last one of it is gone."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not self._stop.is_set():
            clients = [row["ptr"] for row in await self._show("CLIENTS") if row["application_name"] == name]
            if len(clients) == 1:
                return clients[0]
            await sleep(_AGAIN, self._stop)
        raise ConnectionLost(ServerError(NOT_CONNECTED, f"PgBouncer's console does not show {name}", said=False))

    async def look(self) -> Links:
        """Ask which session has which backend, and who waits for one.

        Raises:
            ConnectionLost: the console does not answer.
        """
        async with self._mutex:
            clients, servers = await self._show("CLIENTS"), await self._show("SERVERS")
        by_ptr = {row["ptr"]: int(row["remote_pid"]) for row in servers}
        self._servers.update(by_ptr.values())
        ours = [(self._clients[row["ptr"]], row) for row in clients if row["ptr"] in self._clients]
        backends = {number: by_ptr[row["link"]] for number, row in ours if row["link"] in by_ptr}
        full, coming = len(backends) >= self._size, any(row["state"] in _SERVERS_THAT_COME for row in servers)
        waiting = frozenset(
            number
            for number, row in ours
            if row["state"] == "waiting" and (full or (not coming and _waited(row) > _LIMITED))
        )
        return Links(backends, waiting, tuple(by_ptr.values()))

    async def _show(self, what: str) -> list[dict[str, str]]:
        if self._console is None or not self._console.alive:
            self._console = await Connection.open(self._pooler.console, self._stop)
        answer = await self._console.execute(f"SHOW {what}", deadline=time.monotonic() + PATIENCE)
        if answer.error is not None or answer.interrupted:
            silent = ServerError(NOT_CONNECTED, "PgBouncer's console does not answer", said=False)
            raise ConnectionLost(answer.error or silent)
        (result,) = answer.results
        columns = result.columns()
        return [dict(zip(columns, (value or "" for value in row), strict=True)) for row in result.rows()]

    async def close(self) -> None:
        """Leave the console; doing so again does nothing."""
        if self._console is not None:
            console, self._console = self._console, None
            await console.end()


def _waited(client: Mapping[str, str]) -> float:
    return int(client["wait"] or 0) + int(client["wait_us"] or 0) / 1e6
