"""Keeps connections from one spec to the next: those of blocked detectors, and sessions that equal new ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pgchaos.engine.connect import with_free_slot
from pgchaos.engine.loop import run_sync
from pgchaos.engine.specs.blocked_detector import BlockedDetector
from pgchaos.engine.specs.spec_connection import SpecConnection
from pgchaos.isolation.model import Spec
from pgchaos.isolation.reuse import sees_others, unchanged_connections
from pgchaos.server import Server
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.conninfo import NO_TIMEOUTS, for_version, with_settings
from pgchaos.stop import Stop


def open_connection(server: Server, conninfo: str, stop: Stop, seconds: float) -> SpecConnection:
    """Connect; if the server has no free slot, close cached connections of other specs and scenarios.

    Raises:
        pgchaos.engine.connect.ConnectionLost: the server refused it.
    """
    attempt = partial(SpecConnection.open, conninfo, stop, seconds=seconds)
    return run_sync(with_free_slot(attempt, server.close_unused, stop))


def watch_conninfo(base: str, version: int) -> str:
    """Write the connection string of a detector, without timeouts: it may wait long for a resource of another spec."""
    return with_settings(base, for_version(NO_TIMEOUTS, version), application_name="pgchaos watch")


@contextmanager
def watching(server: Server, stop: Stop, seconds: float) -> Iterator[BlockedDetector]:
    """Provide a detector, on a connection to the maintenance database."""
    connection = _take_usable(server.spec_monitors)
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
        # a query ends by itself, a wait for a resource does not
        connection.drop(cancels=watch.takes_turn)
        raise
    if not server.spec_monitors.put(connection):
        connection.drop()


class SessionCache:
    """The idle sessions of a database: opening a new one costs the server more than most steps.

    Args:
        connection_cache: of the database; None if sessions are not kept.
        spec: that runs in the database. Only connections whose state it does not change are taken and put.
    """

    def __init__(self, connection_cache: ConnectionCache | None, spec: Spec) -> None:
        self._fits = unchanged_connections(spec)
        if connection_cache is not None and sees_others(spec.source):
            connection_cache.clear()
            connection_cache = None
        self._connection_cache = connection_cache

    def fits(self, number: int) -> bool:
        """Whether a connection may be taken and put, by its number in `SessionConnections`."""
        return self._connection_cache is not None and self._fits[number]

    def take(self, number: int) -> SpecConnection | None:
        """Take a session, which still has the name of another spec, or None."""
        return _take_usable(self._connection_cache) if self._connection_cache and self._fits[number] else None

    def put(self, number: int, connection: SpecConnection) -> bool:
        """Keep a session; False if that is not possible."""
        if self._connection_cache is None or not self._fits[number] or not connection.idle:
            return False
        return self._connection_cache.put(connection)


def _take_usable(connection_cache: ConnectionCache) -> SpecConnection | None:
    while (connection := connection_cache.take()) is not None:
        assert isinstance(connection, SpecConnection), "the cache has no others"
        if connection.quiet:
            return connection
        # the server was restarted, or the connection was ended
        connection.drop()
    return None
