"""How a run comes to its connections, and where they go: a shared database keeps them for the next scenario."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from pgchaos.engine.answer import NOT_CONNECTED, ServerError
from pgchaos.engine.blocking import in_thread
from pgchaos.engine.connect import TIMED_OUT, TOO_MANY_CONNECTIONS, recovers
from pgchaos.engine.connection import PATIENCE, Connection, ConnectionLost
from pgchaos.engine.created import Created
from pgchaos.engine.in_place_connection import InPlaceConnection, Notice, taken
from pgchaos.engine.kept_connections import KeptConnections
from pgchaos.engine.loop import alone
from pgchaos.engine.notices import session_conninfo
from pgchaos.engine.pooled_connection import PooledConnection
from pgchaos.engine.waits import sleep
from pgchaos.server import Sandbox
from pgchaos.server.connection_checks import settings_difference, settings_query
from pgchaos.server.conninfo import OWN_SETTINGS
from pgchaos.server.sandbox import MARK
from pgchaos.stop import Stop

T = TypeVar("T")
K = TypeVar("K", bound="PooledConnection")
L = TypeVar("L", bound="Connection")

FINDS_SESSIONS = re.compile(r"\b(?:terminate|cancel|is_blocked|wait_blocked|blocked_by|no_leaks)\b", re.IGNORECASE)
"""Functions of the toolkit that find the sessions of a run."""

_BEGAN = "SELECT extract(epoch FROM backend_start) FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())"
_CONNECT_LIMIT = 30.0
"""Seconds to connect in."""
_RECOVERING = 0.02
"""Seconds between two attempts to connect to a server that recovers."""
SILENT_LIMIT = 1.0
"""Seconds for a server that has not answered once."""
SILENT = ServerError(NOT_CONNECTED, "the server does not answer", said=False)
_WITH_SQL = ("", "database")
"""What connections with SQL ask of replication; any other, for all of the server, has none."""
_ROOM = 2.0
"""Seconds in which backends end whose connections were closed."""


@dataclass(frozen=True, slots=True)
class ConnectionFactory:
    """Opens the connections of one run.

    Args:
        sandbox: of the run.
        keep: false where the scenario does what lasts as long as a session: then no other shall have it.
        join: the scenario looks for its sessions by functions of the toolkit.
        created: takes what the sessions create; None on a server of ours.
        limit: seconds of the scenario: no connection, and no question of the engine's own, takes longer.
        kept: connections that are kept for the same parts of another run; None where none are.
    """

    sandbox: Sandbox
    keep: bool = True
    join: bool = False
    created: Created | None = None
    limit: float = 60.0
    kept: KeptConnections | None = None
    began: dict[int, str] = field(default_factory=dict)
    """When the backends of the run began, as the server says it, in a database where others work: a number alone may be
    another's by now."""
    _silent: set[str] = field(default_factory=set)
    _ordered: dict[str, tuple[PooledConnection, Mapping[str, str]]] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether the server, or a backend, did not even answer a cancel: nobody waits for it long any more."""
        return bool(self._silent)

    @property
    def connect_limit(self) -> float:
        """Seconds to connect in, as things stand."""
        return SILENT_LIMIT if self.silent else min(_CONNECT_LIMIT, self.limit)

    @property
    def patience(self) -> float:
        """Seconds for what takes none on a server that answers, as things stand."""
        return SILENT_LIMIT if self.silent else min(PATIENCE, self.limit)

    def note_silence(self) -> None:
        """Note that it did not."""
        self._silent.add("once")
        if self.kept is not None:
            self.kept.silent = True
        self.sandbox.report_silent_backend()

    def note_end(self) -> None:
        """Note that the server, known to be silent, has not answered once more: nothing is asked any more."""
        self._silent.add("twice")

    def note_no_answer(self) -> None:
        """Note that it did not answer, for the first time or once more."""
        self.note_end() if self.silent else self.note_silence()

    def order(self, name: str, settings: Mapping[str, str] = MappingProxyType({}), *, own: bool = False) -> None:
        """Have a connection made ready that will be opened soon, where one is kept: the server is not waited for."""
        # who looks for the sessions of a run shall find none before they begin
        if not self.sandbox.shared or self.join or self.sandbox.connection_cache is None:
            return
        connection = self.sandbox.connection_cache.take()
        if not isinstance(connection, PooledConnection):
            return
        settings = self._all_settings(name, settings, own=own)
        if alone(connection.begin_configure(settings, join=False)):
            self._ordered[name] = connection, settings
        else:
            connection.shut()

    def close(self) -> None:
        """Give back what was ordered and never opened."""
        while self._ordered:
            _, (connection, _) = self._ordered.popitem()
            if alone(connection.refusal(self.patience)) is None:
                connection.assign(self.sandbox.connection_cache)
                connection.close()
            else:
                connection.shut()

    def _all_settings(self, name: str, settings: Mapping[str, str], *, own: bool) -> Mapping[str, str]:
        return {**self.sandbox.settings, "application_name": name, **_begins_with(settings, own=own)}

    async def open(
        self,
        name: str,
        stop: Stop,
        settings: Mapping[str, str] = MappingProxyType({}),
        notice: Notice | None = None,
        *,
        own: bool = False,
        again: bool = False,
        patience: float | None = None,
    ) -> Connection:
        """Open a connection; its `close` ends it, or gives it back.

        Args:
            name: for application_name.
            stop: whoever waits on it is woken by this.
            settings: what the session begins with, `chaos.worker` and the like.
            notice: called with each notice of the server.
            own: nothing of the scenario is sent: what the role or the database sets for sessions is not to disturb it.
            again: wait for a server that is recovering from a crash just now.
            patience: seconds to wait for a free slot; None for as long as backends take that are ending.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        connection = await self._with_room(
            stop, lambda: self._open(name, stop, settings, notice, own=own, again=again), patience
        )
        connection.created, connection.limit = self.created, self.limit
        return connection

    async def open_new(
        self, kind: type[L], name: str, stop: Stop, settings: Mapping[str, str], options: str, replication: str = ""
    ) -> L:
        """Open a connection that is never one that was kept, nor will be; `options` follow the settings. See `open`.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        cache = self.sandbox.connection_cache
        base = cache.conninfo if self.sandbox.shared and cache is not None else self.sandbox.conninfo
        settings = {**self.sandbox.settings, **settings}
        parameters = {"replication": replication} if replication else {}
        conninfo = session_conninfo(base, name, settings, options, **parameters)
        connection = await self._with_room(stop, lambda: self._made(conninfo, stop, None, False, kind))
        if self.sandbox.in_place and replication in _WITH_SQL:
            required = {**self.sandbox.required_settings, **settings}
            self.began[connection.pid] = await _verify(connection, required)
        return connection

    async def open_by(self, conninfo: str, stop: Stop, notice: Notice, *, again: bool) -> Connection:
        """Open a connection by a connection string that is not the sandbox's own; see `open`.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        connection = await _connect(conninfo, stop, notice, self.connect_limit, Connection, again)
        connection.created, connection.limit = self.created, self.limit
        return connection

    async def open_cached(self, kind: type[K], stop: Stop, notice: Notice) -> tuple[K, bool]:
        """Open the connection of a plain file, to a database that keeps connections."""
        connection, cached = await self._with_room(stop, lambda: self._take(stop, notice, True, kind))
        connection.created, connection.limit = self.created, self.limit
        return connection, cached

    async def _with_room(self, stop: Stop, opened: Callable[[], Awaitable[T]], patience: float | None = None) -> T:
        until = time.monotonic() + (_ROOM if patience is None else patience)
        while True:
            try:
                return await opened()
            except ConnectionLost as refused:  # noqa: PERF203  # it tries again after the refusal
                if refused.error.sqlstate != TOO_MANY_CONNECTIONS or time.monotonic() > until:
                    raise
                # what waits for the next scenario in a shared database makes room for this one; and a backend of the
                # scenario before may outlive its connection for a moment
                await in_thread(self.sandbox.close_unused, "close unused")
                if await sleep(0.01, stop):  # polled: room is not reported
                    raise

    async def _open(
        self, name: str, stop: Stop, settings: Mapping[str, str], notice: Notice | None, *, own: bool, again: bool
    ) -> Connection:
        if not self.sandbox.shared:
            conninfo = session_conninfo(self.sandbox.conninfo, name, _begins_with(settings, own=own))
            connection = await self._in_own_session(conninfo, stop, notice, again)
            if self.sandbox.in_place:
                required = {**self.sandbox.required_settings, **settings}
                self.began[connection.pid] = await _verify(connection, required)
            return connection
        settings = self._all_settings(name, settings, own=own)
        while not stop.is_set():
            connection, cached = await self._ready(name, stop, settings, notice, again)
            try:
                refusal = await connection.refusal(self.patience)
            except BaseException:  # Ctrl-C too: it is not left open
                await connection.discard()
                raise
            if refusal is None:
                self._assign(connection, name, settings)
                return connection
            if connection.silent:
                self.note_silence()
            await connection.discard()
            if not (cached or stop.is_set()):
                raise ConnectionLost(refusal)
        raise ConnectionLost(ServerError(NOT_CONNECTED, "the run was stopped", said=False))

    async def _in_own_session(self, conninfo: str, stop: Stop, notice: Notice | None, again: bool) -> Connection:
        """Make a connection; in place, plain files may have one that an earlier one has left."""
        if self.sandbox.plain_connections is None:
            return await self._made(conninfo, stop, notice, again, Connection)
        cache = self.sandbox.plain_connections(conninfo)
        connection = None if self.silent else await taken(cache, self.sandbox, stop, notice)
        if connection is None:
            connection = await self._made(conninfo, stop, notice, again, InPlaceConnection)
        connection.assign_in_place(cache if self.keep else None, self.sandbox)
        return connection

    def _assign(self, connection: PooledConnection, name: str, settings: Mapping[str, str]) -> None:
        if self.keep and self.kept is not None and not self.join:
            self.kept.assign(connection, name, settings)
        else:
            connection.assign(self.sandbox.connection_cache if self.keep else None)

    async def _ready(
        self, name: str, stop: Stop, settings: Mapping[str, str], notice: Notice | None, again: bool
    ) -> tuple[PooledConnection, bool]:
        """Take what was ordered, or another that is configured now; say whether it was kept."""
        connection = await self.kept.take(name, settings) if self.kept is not None else None
        if connection is not None:
            connection.attach(stop, notice)
            return connection, True
        connection, wanted = self._ordered.pop(name, (None, settings))
        if connection is not None and wanted == settings:
            connection.attach(stop, notice)
            return connection, True
        if connection is not None:
            await connection.discard()
        connection, cached = await self._take(stop, notice, again, PooledConnection)
        try:
            # where that cannot be done, `refusal` says so
            await connection.begin_configure(settings, join=self.join, patience=self.patience)
        except BaseException:  # Ctrl-C too: it is not left open
            await connection.discard()
            raise
        return connection, cached

    async def _take(self, stop: Stop, notice: Notice | None, again: bool, kind: type[K]) -> tuple[K, bool]:
        """Take a kept connection, or make one; say whether it was kept."""
        assert self.sandbox.connection_cache is not None, "of a database that keeps connections"
        # where one backend does not answer, another that was kept may not either
        cached = None if self.silent else self.sandbox.connection_cache.take()
        if isinstance(cached, kind):
            cached.attach(stop, notice)
            return cached, True
        conninfo = self.sandbox.connection_cache.conninfo
        return await self._made(conninfo, stop, notice, again, kind), False

    async def _made(self, conninfo: str, stop: Stop, notice: Notice | None, again: bool, kind: type[L]) -> L:
        if "twice" in self._silent:
            raise ConnectionLost(SILENT)
        try:
            return await _connect(conninfo, stop, notice, self.connect_limit, kind, again)
        except ConnectionLost as refused:
            if refused.error is TIMED_OUT:
                self.note_no_answer()
            raise


def _begins_with(settings: Mapping[str, str], *, own: bool) -> Mapping[str, str]:
    return {**OWN_SETTINGS, **settings} if own else settings


async def _connect(conninfo: str, stop: Stop, notice: Notice | None, seconds: float, kind: type[L], again: bool) -> L:
    """Connect; `again`: the server may be recovering from a crash just now."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await kind.open(conninfo, stop, notice, seconds)
        except ConnectionLost as refused:  # noqa: PERF203  # it tries again after the refusal
            if not again or not recovers(refused.error) or time.monotonic() > deadline:
                raise
            if await sleep(_RECOVERING, stop):
                raise


async def _verify(connection: Connection, settings: Mapping[str, str]) -> str:
    """Make sure that a session in a database of the user's is what was asked for, before anything is done in it."""
    # what cleans up after a killed run ends the sessions that joined; a plain file has no toolkit, and joins nothing
    marks = "; SELECT chaos._join()" if MARK in settings else ""
    answer = await connection.execute(
        f"{settings_query(settings)}; {_BEGAN}{marks}", deadline=time.monotonic() + PATIENCE
    )
    wrong = answer.error
    began = ""
    if wrong is None:
        (row,) = answer.results[0].rows()
        text = settings_difference(settings, row, connection.pid)
        wrong = ServerError(NOT_CONNECTED, text, said=False) if text else None
        began = str(next(iter(answer.results[1].rows()))[0])
    if wrong is not None:
        await connection.end()
        raise ConnectionLost(wrong)
    return began
