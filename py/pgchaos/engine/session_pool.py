"""The sessions of a run behind a pooler: which backend works for which session now.

A pooler reports process numbers to its clients that the server does not know, and assigns another backend for each
transaction. So each session has a number of ours, below zero. PgBouncer's console shows the server connection of each
client (`link` of SHOW CLIENTS, `ptr` and `remote_pid` of SHOW SERVERS), and which clients wait for one. A client keeps
its server connection while a statement runs, so the console's row is valid until the statement ends.
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

_AVAILABLE_SOON = frozenset({"new", "login", "idle", "used", "tested", "being_canceled"})
"""States of a server connection that a waiting client may get soon."""
_DEFAULT_SIZE = 20
"""PgBouncer's default_pool_size."""
_LIMITED = 0.5
"""Seconds after which a client counts as waiting for others although the pool is not full (max_db_connections)."""
_CANCEL_LIMIT = 0.2
"""Seconds for a cancel: PgBouncer delays one until it has a free server connection."""
_LONGEST_NAME = 63
"""Bytes of an application_name (NAMEDATALEN)."""
_AGAIN = 0.001
"""Seconds between queries for a client that has just connected."""


class PooledSession(Connection):
    """A connection to the pooler."""

    async def _interrupt(self, answer: Answer) -> None:
        """Cancel the query and end the connection: a client that waits for the pool does not react to a cancel."""
        answer.interrupted = True
        self.ignore_stop()
        await self.cancel(_CANCEL_LIMIT)
        self.abort()


@dataclass(frozen=True, slots=True)
class Links:
    """The server connections of the sessions."""

    backends: Mapping[int, int] = field(default_factory=dict)  # by the number of each session that has one
    waiting: frozenset[int] = frozenset()  # the sessions that wait for a connection of the pool
    servers: tuple[int, ...] = ()  # all backends of the pool

    def of_sessions(self, waits: Mapping[int, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
        """Replace backends by sessions in the waits, and add that waiting sessions wait for all that are served."""
        sessions = {backend: number for number, backend in self.backends.items()}
        found = {
            sessions.get(pid, pid): tuple(sessions.get(one, one) for one in blockers) for pid, blockers in waits.items()
        }
        return found | {number: tuple(self.backends) for number in self.waiting if self.backends}


class SessionPool:
    """Opens the sessions of one run through its pooler, and queries the console."""

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
        """Every backend of the pool so far."""
        return self._servers

    async def open(
        self, name: str, stop: Stop, notice: Callable[[pq.abc.PGresult], None] | None, seconds: float
    ) -> Connection:
        """Connect a session to the pooler; its `pid` is a number of ours.

        Raises:
            ConnectionLost: the pooler refused.
        """
        async with self._mutex:
            number = next(self._numbers)
            shown = name if len(name.encode()) <= _LONGEST_NAME else f"session {-number}"
            connection = await PooledSession.open(self._pooler.conninfo(shown), stop, notice, seconds)
            try:
                self._clients[await self._find(shown)] = number
            except BaseException:  # Ctrl-C too: do not leave it open
                await connection.end()
                raise
            connection.pid = number
            return connection

    async def _find(self, name: str) -> str:
        """Find a client that has just connected: the only one of this name, once an earlier one is gone."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not self._stop.is_set():
            clients = [row["ptr"] for row in await self._show("CLIENTS") if row["application_name"] == name]
            if len(clients) == 1:
                return clients[0]
            await sleep(_AGAIN, self._stop)
        raise ConnectionLost(ServerError(NOT_CONNECTED, f"PgBouncer's console does not show {name}", from_server=False))

    async def query_links(self) -> Links:
        """Query which session has which backend, and which sessions wait for one.

        Raises:
            ConnectionLost: the console does not answer.
        """
        async with self._mutex:
            clients, servers = await self._show("CLIENTS"), await self._show("SERVERS")
        by_ptr = {row["ptr"]: int(row["remote_pid"]) for row in servers}
        self._servers.update(by_ptr.values())
        ours = [(self._clients[row["ptr"]], row) for row in clients if row["ptr"] in self._clients]
        backends = {number: by_ptr[row["link"]] for number, row in ours if row["link"] in by_ptr}
        full, soon = len(backends) >= self._size, any(row["state"] in _AVAILABLE_SOON for row in servers)
        waiting = frozenset(
            number
            for number, row in ours
            if row["state"] == "waiting" and (full or (not soon and _waited(row) > _LIMITED))
        )
        return Links(backends, waiting, tuple(by_ptr.values()))

    async def _show(self, what: str) -> list[dict[str, str]]:
        if self._console is None or not self._console.alive:
            self._console = await Connection.open(self._pooler.console, self._stop)
        answer = await self._console.execute(f"SHOW {what}", deadline=time.monotonic() + PATIENCE)
        if answer.error is not None or answer.interrupted:
            silent = ServerError(NOT_CONNECTED, "PgBouncer's console does not answer", from_server=False)
            raise ConnectionLost(answer.error or silent)
        (result,) = answer.results
        columns = result.columns()
        return [dict(zip(columns, (value or "" for value in row), strict=True)) for row in result.rows()]

    async def close(self) -> None:
        """Close the console. Idempotent."""
        if self._console is not None:
            console, self._console = self._console, None
            await console.end()


def _waited(client: Mapping[str, str]) -> float:
    return int(client["wait"] or 0) + int(client["wait_us"] or 0) / 1e6
