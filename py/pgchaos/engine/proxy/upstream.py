"""The connections of the proxy to the server: opened like those of the run's sessions, and never encrypted."""

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
from pgchaos.server_text import decoded
from pgchaos.stop import Stop

_ENCRYPTED = ServerError(
    "08001",
    "the connection to the server is encrypted (TLS), so that nothing can pass it on: name a server, or a role and"
    " address in pg_hba.conf, that takes connections without TLS",
    from_server=True,
)
_AGAIN, _SELDOM = 0.01, 0.5
"""Seconds until a cancel is repeated: first, and at most."""
_MAY_BE_PLAIN = (None, "", "prefer", "allow", "disable")


class ServerConnection(Connection):
    """A connection whose socket the proxy uses itself; this only opens, cancels and closes it."""

    @classmethod
    async def open(
        cls,
        conninfo: str,
        stop: Stop,
        notice: Callable[[pq.abc.PGresult], None] | None = None,
        seconds: float = 30.0,
    ) -> ServerConnection:
        """Connect, without encryption unless the connection string requires it; see `Connection.open`."""
        connection = await super().open(_plain(conninfo), stop, notice, seconds)
        if connection._pg.ssl_in_use:
            await connection.end()
            raise ConnectionLost(_ENCRYPTED)
        return connection

    def take_socket(self) -> int:
        """Return the descriptor, which the caller uses from now on."""
        return self._pg.socket

    def parameter(self, name: str) -> str | None:
        """Return a setting that the server reported on connecting, or None."""
        value = self._pg.parameter_status(name.encode())
        return None if value is None else decoded(value)

    async def cancel_until(self, is_over: Callable[[], bool], takes_data: Callable[[], bool]) -> None:
        """Cancel a request that was just sent, repeatedly: a backend ignores a cancel before it reads the request.

        Args:
            is_over: whether the request has its answer, or needs none.
            takes_data: whether it is a COPY that waits for data; its backend acts on the cancel when it has read them.
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
        """Close it without sending anything."""
        self.abort()
        self._pg.finish()


class ServerOpener:
    """Opens server connections; the upstream of a `Proxy`.

    Args:
        factory: of the run.
        name: the default application_name.
        stop: ends every wait.
        settings: that each connection begins with, such as `chaos.worker`.
    """

    def __init__(self, factory: ConnectionFactory, name: str, stop: Stop, settings: Mapping[str, str]) -> None:
        self._factory, self._name, self._stop, self._settings = factory, name, stop, settings

    async def __call__(self, startup: Startup) -> ServerConnection:
        """Open a connection.

        Args:
            startup: of the client.

        Raises:
            ConnectionLost: the server could not be reached or refused, or requires TLS.
        """
        asked = dict(startup.settings)
        name = asked.pop("application_name", "") or self._name
        return await self._factory.open_new(
            ServerConnection,
            name,
            self._stop,
            self._settings,
            of_client=asked,
            options=startup.options,
            replication=startup.replication,
        )


def _plain(conninfo: str) -> str:
    """Disable encryption in a connection string, unless it requires encryption."""
    parameters = read_conninfo(conninfo)
    disabled = {
        name: "disable"
        for name, variable in (("sslmode", "PGSSLMODE"), ("gssencmode", "PGGSSENCMODE"))
        if (parameters.get(name) or os.environ.get(variable)) in _MAY_BE_PLAIN
    }
    return make_conninfo(conninfo, **disabled)
