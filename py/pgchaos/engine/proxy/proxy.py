"""Listens for clients, authenticates them, and passes data between them and the server."""

from __future__ import annotations

import errno
import os
import secrets
import select
import shutil
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from socket import AF_INET, AF_UNIX, IPPROTO_TCP, TCP_NODELAY, AddressFamily
from socket import socket as Socket  # bound here: pytest-socket may replace socket.socket
from struct import Struct

from pgchaos.engine.connection import ConnectionLost
from pgchaos.engine.loop import Task, begin
from pgchaos.engine.proxy.connection import ProxyConnection
from pgchaos.engine.proxy.handshake import AUTHENTICATED, Denied, Gone, Handshake
from pgchaos.engine.proxy.link import Link
from pgchaos.engine.proxy.messages import ProtocolError, error_message, message
from pgchaos.engine.proxy.observer import Observer
from pgchaos.engine.proxy.scram import Secret
from pgchaos.engine.proxy.startup import Cancel, Startup
from pgchaos.engine.proxy.upstream import ServerConnection
from pgchaos.engine.waits import STOPPED, Wait, sleep
from pgchaos.safe_output import forget, hide
from pgchaos.server.conninfo import make_conninfo
from pgchaos.server.settings import Conninfo
from pgchaos.server_text import encoded
from pgchaos.stop import Stop

_BACKLOG = 128
_MOST_REPORTED, _MORE = 20, "more clients broke the protocol"
"""Violations of the protocol that are reported, and the line for further ones."""
_DENIED = 3
"""Refused clients that are reported."""
_REPORTED = (
    "server_version", "server_encoding", "client_encoding", "application_name", "default_transaction_read_only",
    "in_hot_standby", "is_superuser", "session_authorization", "DateStyle", "IntervalStyle", "TimeZone",
    "integer_datetimes", "standard_conforming_strings", "scram_iterations", "search_path",
)  # fmt: skip
"""Settings that servers report to clients (PostgreSQL docs, "Asynchronous Operations")."""
_PID = Struct("!I")
_LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of the system when it has no resources for another connection."""
_LATER = 0.05
"""Seconds until the next attempt."""

Upstream = Callable[[Startup], Awaitable[ServerConnection]]
"""Opens a connection to the run's server for a client; raises ConnectionLost, or Gone if the client gets no reason."""


class Proxy:
    """A proxy; `start` and `pause` are called by tasks of the loop, `close` also without one.

    Args:
        upstream: opens a connection to the server.
        user: the only role that clients can have.
        database: the only one that they can connect to.
        observer: of all connections.
        seed: of jitter.

    Attributes:
        password: of clients.
        port: on 127.0.0.1, and in the name of the Unix socket.
        broken: violations of the protocol by clients and servers, and errors of the system, for the report.
        denied: why the last refused clients were refused, for the report.
        connections: the open ones.
    """

    host = "127.0.0.1"

    def __init__(
        self, upstream: Upstream, user: str, database: str, observer: Observer | None = None, seed: str = ""
    ) -> None:
        self._upstream, self._user, self._database, self._observer = upstream, user, database, observer
        self._seed = seed
        self._abandoned: list[ServerConnection] = []
        self.password = secrets.token_hex(16)
        hide(self.password)
        self._secret = Secret.of(self.password)
        self.broken: list[str] = []
        self.denied: deque[str] = deque(maxlen=_DENIED)
        self.connections: list[ProxyConnection] = []
        self._number = self._handshakes = 0
        self._tasks: list[Task[None]] = []
        self._stop = Stop()
        self._listeners: list[Socket] = []
        self._folder: Path | None = None
        self._errors: list[Exception] = []
        self.port = 0
        try:
            self.port = int(self._listen(AF_INET, (self.host, 0)).getsockname()[1])
        except BaseException:
            self.close()
            raise

    @property
    def folder(self) -> Path:
        """The folder of the Unix socket, created on first use, before `start`."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pgchaos-"))  # of mode 0700
            self._listen(AF_UNIX, str(self._folder / f".s.PGSQL.{self.port}"))
        return self._folder

    def _listen(self, family: AddressFamily, address: tuple[str, int] | str) -> Socket:
        listener = Socket(family)
        self._listeners.append(listener)
        listener.bind(address)
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        return listener

    def conninfo(self, host: str = "") -> Conninfo:
        """Write the connection string for clients.

        Args:
            host: `folder` to use the Unix socket; '' for 127.0.0.1.
        """
        return make_conninfo(
            host=host or self.host,
            port=self.port,
            user=self._user,
            dbname=self._database,
            password=self.password,
            sslmode="disable",
            gssencmode="disable",
        )

    @property
    def is_waited_for(self) -> bool:
        """Whether a client is in the handshake, or waits for the server."""
        return self._handshakes > 0 or not all(connection.is_idle for connection in self.connections)

    def start(self) -> None:
        """Serve clients, including those connected before a pause."""
        for listener in self._listeners:
            self._tasks.append(begin(self._accept(listener)))
        for connection in self.connections:
            self._tasks.append(begin(self._serve(connection)))

    async def pause(self) -> None:
        """Stop serving until `start`. Connections stay open, unfinished handshakes are ended.

        An internal error that ended a connection is raised here.
        """
        self._stop.set()
        while self._tasks:
            await self._tasks.pop().ends()
        self._stop.close()
        self._stop = Stop()
        if self._errors:
            raise self._errors.pop()

    async def cancel_abandoned(self) -> None:
        """Cancel the queries of backends whose clients have disconnected."""
        while self._abandoned:
            server = self._abandoned.pop()
            await server.cancel()
            server.close_at_once()

    def close(self) -> None:
        """Close all connections and listeners; no task serves them any more."""
        for server in self._abandoned:
            server.close_at_once()
        self._abandoned.clear()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in self.connections:
            connection.end("the run is over")
            connection.close()
            connection.server.close_at_once()
        self.connections.clear()
        self._stop.close()
        forget(self.password)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)  # a socket in a temporary folder, at most

    async def _accept(self, listener: Socket) -> None:
        wait = Wait(listener.fileno(), select.POLLIN, None, self._stop)
        while await wait is not STOPPED:
            try:
                # Socket.accept makes a socket of the class that pytest-socket may have put in place
                descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # of the class in C
            except OSError as error:
                if error.errno in _LACKS:
                    # the client stays in the queue, and poll reports it again at once
                    self._note(f"a client could not be accepted: {os.strerror(error.errno)}")
                    await sleep(_LATER, self._stop)
                continue  # or the client has already disconnected
            client = Socket(fileno=descriptor)
            client.setblocking(False)
            if listener.family == AF_INET:
                client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            self._tasks = [task for task in self._tasks if not task.done]
            self._tasks.append(begin(self._admit(client)))

    def _note(self, text: str) -> None:
        if text in self.broken:
            return
        if len(self.broken) < _MOST_REPORTED:
            self.broken.append(text)
        elif self.broken[-1] != _MORE:
            self.broken.append(_MORE)

    async def _admit(self, client: Socket) -> None:
        """Make the handshake with a client, and serve it."""
        handshake = Handshake(client, self._secret, self._stop)
        connection = None
        self._handshakes += 1
        try:
            connection = await self._authenticate(client, handshake)
        except Gone:
            pass  # a client may leave at any time
        except ProtocolError as error:
            self._note(f"a client broke the protocol: {error}")
            with suppress(Gone):  # the client does not wait for the reason
                await handshake.send(error_message("08P01", str(error)))
        except Denied as why:
            self.denied.append(f"a connection was refused: {why}")
            with suppress(Gone):  # the client does not wait for the reason
                await handshake.send(why.message())
        finally:
            self._handshakes -= 1
            if connection is None:
                client.close()
        if connection is not None:
            await self._serve(connection)

    async def _authenticate(self, client: Socket, handshake: Handshake) -> ProxyConnection | None:
        packet = await handshake.begin()
        if isinstance(packet, Cancel):
            await self._cancel(packet)
            return None
        self._check(packet)
        if negotiation := packet.negotiation():
            await handshake.send(negotiation)
        await handshake.authenticate()
        try:
            server = await self._upstream(packet)
        except ConnectionLost as refused:
            raise Denied(refused.error.sqlstate, refused.error.message) from None
        self._number += 1
        link = Link(client, Random(f"{self._seed}/{self._number}"))
        connection = ProxyConnection(self._number, link, server, packet, self._observer, self._note, handshake.rest)
        self.connections.append(connection)
        if self._observer is not None:
            self._observer.opened(connection)
        try:
            await handshake.send(_welcome(connection))
        except Gone:
            connection.end("the client ended it")
        return connection

    def _check(self, startup: Startup) -> None:
        """Refuse another role or database than the run's."""
        if startup.user != self._user:
            raise Denied("28000", f'role "{startup.user}" is not the one of this run, "{self._user}"')
        if startup.database != self._database and not startup.is_physical:
            raise Denied("3D000", f'database "{startup.database}" is not the one of this run, "{self._database}"')

    async def _cancel(self, cancel: Cancel) -> None:
        for connection in self.connections:
            if connection.pid == cancel.pid and secrets.compare_digest(connection.key, cancel.key):
                await connection.cancel()

    async def _serve(self, connection: ProxyConnection) -> None:
        def broke(error: Exception) -> None:
            # the client must not wait for data that is no longer passed on
            self._errors.append(error)
            connection.end("an error of pgchaos")

        tasks = [begin(work, broke) for work in connection.tasks(self._stop)]
        for task in tasks:
            await task.ends()
        if connection.ended:
            self.connections.remove(connection)
            connection.close()
            connection.server.abort()
            if connection.was_answered:
                connection.server.close_at_once()
            else:
                # its backend still runs a query
                self._abandoned.append(connection.server)


def _welcome(connection: ProxyConnection) -> bytes:
    """Build the messages that complete a client's connection."""
    reported = {name: value for name in _REPORTED if (value := connection.server.parameter(name)) is not None}
    connection.tracker.parameters |= reported
    statuses = [message(b"S", encoded(f"{name}\0{value}\0")) for name, value in reported.items()]
    key = message(b"K", _PID.pack(connection.pid) + connection.key)
    return b"".join((AUTHENTICATED, *statuses, key, message(b"Z", b"I")))
