"""Keeps connections from one spec to the next: those that look who is blocked, and sessions that are as new."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pgchaos.engine.connect import TOO_MANY_CONNECTIONS, ConnectionLost
from pgchaos.engine.loop import run_sync
from pgchaos.engine.specs.blocked_detector import BlockedDetector
from pgchaos.engine.specs.spec_connection import SpecConnection
from pgchaos.isolation.model import Spec
from pgchaos.isolation.reuse import sees_others, unchanged_connections
from pgchaos.server import Server
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.conninfo import NO_TIMEOUTS, for_version, with_settings
from pgchaos.stop import Stop

_ROOM, _AGAIN = 2.0, 0.01
"""Seconds in which backends end whose connections were closed, and to wait for that each time."""


def open_connection(server: Server, conninfo: str, stop: Stop, seconds: float) -> SpecConnection:
    """Connect; where the server has no room, what waits for other specs and scenarios makes it.

    Raises:
        pgchaos.engine.connect.ConnectionLost: the server refused it.
    """
    until = time.monotonic() + _ROOM
    while True:
        try:
            return run_sync(SpecConnection.open(conninfo, stop, seconds=seconds))
        except ConnectionLost as refused:  # noqa: PERF203  # it tries again after the refusal
            if refused.error.sqlstate != TOO_MANY_CONNECTIONS or time.monotonic() > until:
                raise
            server.close_unused()
            if stop.wait(_AGAIN):
                raise


def watch_conninfo(base: str, version: int) -> str:
    """Say how a watch is connected: it may wait long for what another spec uses."""
    return with_settings(base, for_version(NO_TIMEOUTS, version), application_name="pgchaos watch")


@contextmanager
def watching(server: Server, stop: Stop, seconds: float) -> Iterator[BlockedDetector]:
    """Give a watch for some time, on a connection to the database from which the server is administered."""
    connection = _taken(server.spec_monitors)
    is_new = connection is None
    if connection is None:
        connection = open_connection(server, watch_conninfo(server.conninfo(), server.version), stop, seconds)
    watch = BlockedDetector(connection, stop)
    try:
        watch.patience = min(watch.patience, seconds)
        if is_new:
            watch.prepare()
        yield watch
        watch.release()
    except BaseException:
        # a look ends by itself
        connection.drop(cancels=watch.takes_turn)
        raise
    if not server.spec_monitors.put(connection):
        connection.drop()


class SessionCache:
    """The sessions that wait in a database: a new one costs the server more than most steps.

    Args:
        connection_cache: where they wait; None where none are kept.
        spec: that is run in the database. It gets and gives only sessions in which it leaves nothing.
    """

    def __init__(self, connection_cache: ConnectionCache | None, spec: Spec) -> None:
        self._fits = unchanged_connections(spec)
        if connection_cache is not None and sees_others(spec.source):
            connection_cache.clear()
            connection_cache = None
        self._connection_cache = connection_cache

    def fits(self, number: int) -> bool:
        """Say whether a connection may be taken from here and put here, by its number in `SessionConnections`."""
        return self._connection_cache is not None and self._fits[number]

    def take(self, number: int) -> SpecConnection | None:
        """Take a session that has its name from another spec; None where there is none."""
        return _taken(self._connection_cache) if self._connection_cache is not None and self._fits[number] else None

    def put(self, number: int, connection: SpecConnection) -> bool:
        """Keep a session."""
        if self._connection_cache is None or not self._fits[number] or not connection.idle:
            return False
        return self._connection_cache.put(connection)


def _taken(connection_cache: ConnectionCache) -> SpecConnection | None:
    while (connection := connection_cache.take()) is not None:
        assert isinstance(connection, SpecConnection), "nothing else lies there"
        if connection.quiet:
            return connection
        # the server was restarted, or somebody ended it
        connection.drop()
    return None
