"""The connections of the proxy to the server: opened as those of the run's own sessions are, and never encrypted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from psycopg import pq

from pgchaos.engine.answer import ServerError
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.proxy.startup import Startup
from pgchaos.engine.waits import sleep
from pgchaos.server.conninfo import make_conninfo, read_conninfo
from pgchaos.stop import Stop

_ENCRYPTED = ServerError(
    "08001",
    "the connection to the server is encrypted (TLS), so that nothing can pass it on: name a server, or a role and"
    " address in pg_hba.conf, that takes connections without TLS",
    said=True,
)
_AGAIN, _SELDOM = 0.01, 0.5
"""Seconds until a backend is told again to cancel: first, and at most."""
_MAY_BE_PLAIN = (None, "", "prefer", "allow", "disable")


class ServerConnection(Connection):
    """A connection on which the proxy speaks itself; this only makes it, cancels what runs on it, and closes it."""

    @classmethod
    async def open(
        cls,
        conninfo: str,
        stop: Stop,
        notice: Callable[[pq.abc.PGresult], None] | None = None,
        seconds: float = 30.0,
    ) -> ServerConnection:
        """Connect, without encryption where the connection string does not demand it; see `Connection.open`."""
        connection = await super().open(_plain(conninfo), stop, notice, seconds)
        if connection._pg.ssl_in_use:
            await connection.end()
            raise ConnectionLost(_ENCRYPTED)
        return connection

    def take_socket(self) -> int:
        """Give the descriptor, on which somebody else speaks from now on."""
        return self._pg.socket

    def parameter(self, name: str) -> str | None:
        """Give a setting that the server reported when the connection was made, or None."""
        value = self._pg.parameter_status(name.encode())
        return None if value is None else value.decode("utf-8", "replace")

    async def cancel_until(self, is_over: Callable[[], bool], takes_data: Callable[[], bool]) -> None:
        """Have the backend cancel what was just sent; one that has not read it yet ignores that, and is told again.

        Args:
            is_over: that has its answer, or nobody waits for it.
            takes_data: it is a COPY, and the backend waits for data; it heeds what it is told now when it has them.
        """
        await self.cancel()
        pause = _AGAIN
        while not is_over():
            await sleep(pause)
            pause, is_last = min(2 * pause, _SELDOM), takes_data()
            if not is_over():
                await self.cancel()
            if is_last:
                return

    def close_at_once(self) -> None:
        """Close it; nothing is said to the server any more."""
        self.abort()
        self._pg.finish()


class ServerOpener:
    """Opens them; the upstream of a `Proxy`.

    Args:
        factory: of the run.
        name: application_name, where the client gives none.
        stop: ends every wait.
        settings: that each connection begins with, `chaos.worker` and the like.
    """

    def __init__(self, factory: ConnectionFactory, name: str, stop: Stop, settings: Mapping[str, str]) -> None:
        self._factory, self._name, self._stop, self._settings = factory, name, stop, settings

    async def __call__(self, startup: Startup) -> ServerConnection:
        """Open one.

        Args:
            startup: what the client said of itself.

        Raises:
            ConnectionLost: the server could not be reached or refused, or would only talk in TLS.
        """
        settings = {**self._settings, **startup.settings}
        name = settings.pop("application_name", "") or self._name
        return await self._factory.open_new(
            ServerConnection, name, self._stop, settings, startup.options, startup.replication
        )


def _plain(conninfo: str) -> str:
    """Have a connection string ask for no encryption, where it does not demand it."""
    given = read_conninfo(conninfo)
    ways = {
        name: "disable"
        for name, variable in (("sslmode", "PGSSLMODE"), ("gssencmode", "PGGSSENCMODE"))
        if (given.get(name) or os.environ.get(variable)) in _MAY_BE_PLAIN
    }
    return make_conninfo(conninfo, **ways)
