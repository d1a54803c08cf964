"""Opens the connections of a run. A shared database keeps them for the next scenario."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from pgchaos.engine.answer import NOT_CONNECTED, ServerError
from pgchaos.engine.connect import STOPPED, TIMED_OUT, is_recovering, with_free_slot
from pgchaos.engine.connection import PATIENCE, Connection, ConnectionLost
from pgchaos.engine.created import Created
from pgchaos.engine.in_place_connection import InPlaceConnection, Notice, take_cached
from pgchaos.engine.kept_connections import KeptConnections
from pgchaos.engine.loop import run_sync
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

_BACKEND_START = (
    "SELECT extract(epoch FROM backend_start) FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())"
)
_CONNECT_LIMIT = 30.0
"""Seconds to connect within."""
_RECOVERING = 0.02
"""Seconds between attempts to connect to a server in recovery."""
SILENT_LIMIT = 1.0
"""Seconds for an answer of a server that has already failed to answer."""
SILENT = ServerError(NOT_CONNECTED, "the server does not answer", from_server=False)
_WITH_SQL = ("", "database")
"""Values of the parameter `replication` with which a connection can run SQL."""


@dataclass(frozen=True, slots=True)
class ConnectionFactory:
    """Opens the connections of one run."""

    sandbox: Sandbox
    keep: bool = True  # False: the scenario may change a session for its lifetime, so no other run may have it
    join: bool = False  # the scenario looks for its sessions by functions of the toolkit
    created: Created | None = None  # records what the sessions create; None on a server of ours
    limit: float = 60.0  # seconds of the scenario: no connection attempt or query of the engine takes longer
    kept: KeptConnections | None = None  # connections kept for the same parts of other runs of a search
    # in place: the start time of each backend of the run, by pid, as the server writes it; a pid may be reused
    backend_starts: dict[int, str] = field(default_factory=dict)
    _silent: set[str] = field(default_factory=set)
    _configured_ahead: dict[str, tuple[PooledConnection, Mapping[str, str]]] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether the server, or a backend, did not react even to a cancel. Later waits for it are short."""
        return bool(self._silent)

    @property
    def connect_limit(self) -> float:
        """Seconds to connect within; fewer if the server is silent."""
        return SILENT_LIMIT if self.silent else min(_CONNECT_LIMIT, self.limit)

    @property
    def patience(self) -> float:
        """Seconds for a query that is immediate on a server that answers; fewer if the server is silent."""
        return SILENT_LIMIT if self.silent else min(PATIENCE, self.limit)

    def note_silence(self) -> None:
        """Record that the server or a backend is silent."""
        self._silent.add("once")
        if self.kept is not None:
            self.kept.silent = True
        self.sandbox.report_silent_backend()

    def note_second_silence(self) -> None:
        """Record that the silent server failed to answer a second time: no connection is attempted any more."""
        self._silent.add("twice")

    def note_no_answer(self) -> None:
        """Record a missing answer, the first or another."""
        self.note_second_silence() if self.silent else self.note_silence()

    def configure_ahead(self, name: str, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        """Start to configure a cached connection that will be opened soon, without waiting for the server."""
        # a scenario that looks for its sessions must not find one before it begins
        if not self.sandbox.shared or self.join or self.sandbox.connection_cache is None:
            return
        connection = self.sandbox.connection_cache.take()
        if not isinstance(connection, PooledConnection):
            return
        settings = self._all_settings(name, settings)
        if run_sync(connection.begin_configure(settings, join=False)):
            self._configured_ahead[name] = connection, settings
        else:
            connection.shut()

    def close(self) -> None:
        """Return connections that were ordered but not opened to the cache."""
        while self._configured_ahead:
            _, (connection, _) = self._configured_ahead.popitem()
            if run_sync(connection.refusal(self.patience)) is None:
                connection.assign(self.sandbox.connection_cache)
                connection.close()
            else:
                connection.shut()

    def _all_settings(self, name: str, settings: Mapping[str, str]) -> Mapping[str, str]:
        return {**self.sandbox.settings, "application_name": name, **settings}

    async def open(
        self,
        name: str,
        stop: Stop,
        settings: Mapping[str, str] = MappingProxyType({}),
        notice: Notice | None = None,
        *,
        while_recovering: bool = False,
        patience: float | None = None,
    ) -> Connection:
        """Open a connection; its `close` ends it, or returns it to its cache.

        Args:
            name: for application_name.
            stop: ends every wait on the connection.
            settings: that the session begins with, such as `chaos.worker`.
            notice: called with each notice of the server.
            while_recovering: retry while the server recovers from a crash.
            patience: seconds to wait for a free connection slot; None: as long as ending backends take.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        connection = await self._with_free_slot(
            stop, lambda: self._open(name, stop, settings, notice, while_recovering), patience
        )
        connection.created, connection.limit = self.created, self.limit
        return connection

    async def open_new(
        self,
        kind: type[L],
        name: str,
        stop: Stop,
        settings: Mapping[str, str],
        *,
        of_client: Mapping[str, str],
        options: str,
        replication: str,
    ) -> L:
        """Open a connection that neither comes from a cache nor goes to one. See `open`.

        Args:
            kind: of the connection.
            name: its application_name.
            stop: ends the wait.
            settings: that it begins with.
            of_client: further ones, which a client asks for; the server may write their values otherwise.
            options: of the server, after all settings.
            replication: libpq's parameter, or ''.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        cache = self.sandbox.connection_cache
        base = cache.conninfo if self.sandbox.shared and cache is not None else self.sandbox.conninfo
        settings = {**self.sandbox.settings, **settings}
        parameters = {"replication": replication} if replication else {}
        conninfo = session_conninfo(base, name, {**settings, **of_client}, options, **parameters)
        connection = await self._with_free_slot(stop, lambda: self._made(conninfo, stop, None, False, kind))
        if self.sandbox.in_place and replication in _WITH_SQL:
            required = {**self.sandbox.required_settings, **settings}
            required = {name: value for name, value in required.items() if name not in of_client}
            self.backend_starts[connection.pid] = await _verify(connection, required)
        return connection

    async def open_by(self, conninfo: str, stop: Stop, notice: Notice, *, while_recovering: bool) -> Connection:
        """Open a connection with another connection string than the sandbox's; see `open`.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        connection = await _connect(conninfo, stop, notice, self.connect_limit, Connection, while_recovering)
        connection.created, connection.limit = self.created, self.limit
        return connection

    async def open_cached(self, kind: type[K], stop: Stop, notice: Notice) -> tuple[K, bool]:
        """Open the connection of a plain file to a database with a cache; return whether it comes from the cache."""
        connection, cached = await self._with_free_slot(stop, lambda: self._take(stop, notice, True, kind))
        connection.created, connection.limit = self.created, self.limit
        return connection, cached

    async def _with_free_slot(
        self, stop: Stop, connect: Callable[[], Awaitable[T]], patience: float | None = None
    ) -> T:
        return await with_free_slot(connect, self.sandbox.close_unused, stop, patience)

    async def _open(
        self, name: str, stop: Stop, settings: Mapping[str, str], notice: Notice | None, while_recovering: bool
    ) -> Connection:
        if not self.sandbox.shared:
            conninfo = session_conninfo(self.sandbox.conninfo, name, settings)
            connection = await self._in_own_session(conninfo, stop, notice, while_recovering)
            if self.sandbox.in_place:
                # a login event trigger may change the engine's own settings: they are not essential
                essential = {} if settings is OWN_SETTINGS else settings
                self.backend_starts[connection.pid] = await _verify(
                    connection, {**self.sandbox.required_settings, **essential}
                )
            return connection
        settings = self._all_settings(name, settings)
        while not stop.is_set():
            connection, cached = await self._ready(name, stop, settings, notice, while_recovering)
            try:
                refusal = await connection.refusal(self.patience)
            except BaseException:  # Ctrl-C too: do not leave it open
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
        raise ConnectionLost(STOPPED)

    async def _in_own_session(
        self, conninfo: str, stop: Stop, notice: Notice | None, while_recovering: bool
    ) -> Connection:
        """Open a connection; in place, a plain file may get that of an earlier plain file."""
        if self.sandbox.plain_connections is None:
            return await self._made(conninfo, stop, notice, while_recovering, Connection)
        cache = self.sandbox.plain_connections(conninfo)
        connection = None if self.silent else await take_cached(cache, self.sandbox, stop, notice)
        if connection is None:
            connection = await self._made(conninfo, stop, notice, while_recovering, InPlaceConnection)
        connection.assign_in_place(cache if self.keep else None, self.sandbox)
        return connection

    def _assign(self, connection: PooledConnection, name: str, settings: Mapping[str, str]) -> None:
        if self.keep and self.kept is not None and not self.join:
            self.kept.assign(connection, name, settings)
        else:
            connection.assign(self.sandbox.connection_cache if self.keep else None)

    async def _ready(
        self, name: str, stop: Stop, settings: Mapping[str, str], notice: Notice | None, while_recovering: bool
    ) -> tuple[PooledConnection, bool]:
        """Take the kept, ordered or another connection, configured; return whether it existed before."""
        connection = await self.kept.take(name, settings) if self.kept is not None else None
        if connection is not None:
            connection.attach(stop, notice)
            return connection, True
        connection, wanted = self._configured_ahead.pop(name, (None, settings))
        if connection is not None and wanted == settings:
            connection.attach(stop, notice)
            return connection, True
        if connection is not None:
            await connection.discard()
        connection, cached = await self._take(stop, notice, while_recovering, PooledConnection)
        try:
            # `refusal` reports if this fails
            await connection.begin_configure(settings, join=self.join, patience=self.patience)
        except BaseException:  # Ctrl-C too: do not leave it open
            await connection.discard()
            raise
        return connection, cached

    async def _take(self, stop: Stop, notice: Notice | None, while_recovering: bool, kind: type[K]) -> tuple[K, bool]:
        """Take a connection of the cache, or open one; return whether it is of the cache."""
        assert self.sandbox.connection_cache is not None, "of a database that keeps connections"
        # if one backend does not answer, cached ones may not either
        cached = None if self.silent else self.sandbox.connection_cache.take()
        if isinstance(cached, kind):
            cached.attach(stop, notice)
            return cached, True
        conninfo = self.sandbox.connection_cache.conninfo
        return await self._made(conninfo, stop, notice, while_recovering, kind), False

    async def _made(self, conninfo: str, stop: Stop, notice: Notice | None, while_recovering: bool, kind: type[L]) -> L:
        if "twice" in self._silent:
            raise ConnectionLost(SILENT)
        try:
            return await _connect(conninfo, stop, notice, self.connect_limit, kind, while_recovering)
        except ConnectionLost as refused:
            if refused.error is TIMED_OUT:
                self.note_no_answer()
            raise


async def _connect(
    conninfo: str, stop: Stop, notice: Notice | None, seconds: float, kind: type[L], while_recovering: bool
) -> L:
    """Connect; `while_recovering`: retry while the server recovers from a crash."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await kind.open(conninfo, stop, notice, seconds)
        except ConnectionLost as refused:  # noqa: PERF203  # a retry after the refusal
            if not while_recovering or not is_recovering(refused.error) or time.monotonic() > deadline:
                raise
            if await sleep(_RECOVERING, stop):
                raise


async def _verify(connection: Connection, settings: Mapping[str, str]) -> str:
    """Verify the settings of a new session in a user's database before anything else; return its start time."""
    # the cleanup after a killed run ends the sessions that joined; a plain file has no toolkit, and does not join
    marks = "; SELECT chaos._join()" if MARK in settings else ""
    answer = await connection.execute(
        f"{settings_query(settings)}; {_BACKEND_START}{marks}", deadline=time.monotonic() + PATIENCE
    )
    wrong = answer.error
    start = ""
    if wrong is None:
        (row,) = answer.results[0].rows()
        text = settings_difference(settings, row, connection.pid)
        wrong = ServerError(NOT_CONNECTED, text, from_server=False) if text else None
        start = str(next(iter(answer.results[1].rows()))[0])
    if wrong is not None:
        await connection.end()
        raise ConnectionLost(wrong)
    return start
