"""Keeps the connections that look who is blocked from one spec to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pgchaos.engine.specs.connection import Connection
from pgchaos.engine.specs.watch import Watch
from pgchaos.engine.stop import Stop
from pgchaos.server import Server

_USE = "watch"


@contextmanager
def watching(server: Server, stop: Stop) -> Iterator[Watch]:
    """Lend a watch, on a connection to the database from which the server is administered.

    Args:
        server: whose sessions it watches.
        stop: of the run.

    Yields:
        The watch. Where it ends by an exception, so does its connection.

    Raises:
        pgchaos.engine.connecting.LinkError: the server refused the connection.
        Interrupted: the run is stopped.
    """
    connection = _kept(server)
    fresh = connection is None
    if connection is None:
        connection = Connection(server.conninfo() + " application_name='pgchaos watch'", stop)
    try:
        watch = Watch(connection, stop)
        if fresh:
            watch.prepare()
        yield watch
        watch.rest()
    except BaseException:
        connection.close()
        raise
    if not server.watches.put(_USE, connection):
        connection.close()


def _kept(server: Server) -> Connection | None:
    while (connection := server.watches.take(_USE)) is not None:
        assert isinstance(connection, Connection), "nothing else lies there"
        if connection.silent:
            return connection
        # the server was restarted, or somebody ended it
        connection.close()
    return None
