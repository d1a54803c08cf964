"""Connections that stay open from one scenario to the next."""

from __future__ import annotations

import threading
import time
from typing import Protocol

_CAPACITY = 32  # connections: each takes a slot of the server while it is unused
_CLOSE_LIMIT, _CLOSE_MINIMUM = 0.5, 0.05  # seconds to close all of them, and at least for each


class Closable(Protocol):
    """A connection that can be cached."""

    def shut(self, patience: float) -> None:
        """Close it, after waiting at most `patience` seconds for what runs on it."""


class ConnectionCache:
    """Unused connections to one database. Thread-safe.

    Args:
        conninfo: connection string with which each of them was made.
    """

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self._lock = threading.Lock()
        self._connections: list[Closable] = []
        self._closed = False

    def take(self) -> Closable | None:
        """Take out the connection that was put last, or None if there is none."""
        with self._lock:
            return self._connections.pop() if self._connections else None

    def put(self, connection: Closable) -> bool:
        """Add a connection whose state was reset; return False if there is no room for it."""
        with self._lock:
            if self._closed or len(self._connections) >= _CAPACITY:
                return False
            self._connections.append(connection)
            return True

    def clear(self) -> int:
        """Close all connections, and return how many there were."""
        with self._lock:
            connections, self._connections = self._connections, []
        # one limit for all: a server that is gone must not delay the run
        end = time.monotonic() + _CLOSE_LIMIT
        for connection in connections:
            connection.shut(max(_CLOSE_MINIMUM, end - time.monotonic()))
        return len(connections)

    def close(self) -> None:
        """Close all connections, and accept no more."""
        with self._lock:
            self._closed = True
        self.clear()
