"""Connections that wait from one scenario to the next."""

from __future__ import annotations

import threading
import time
from typing import Protocol

_MOST = 32
"""Connections kept: each takes a slot of the server while nobody uses it."""
_ENDED_WITHIN, _LEAST = 0.5, 0.05
"""Seconds to end all of them, and for each at least: a server that is gone shall hold up nobody."""


class Closable(Protocol):
    """What can lie on a shelf."""

    def shut(self, patience: float) -> None:
        """End it for good.

        Args:
            patience: seconds to wait for what was begun on it.
        """


class ConnectionCache:
    """Keeps connections of one database. Safe to use from several threads.

    Args:
        conninfo: how each of them was made.
    """

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self._lock = threading.Lock()
        self._kept: list[Closable] = []
        self._closed = False

    def take(self) -> Closable | None:
        """Take the connection that was put last, which nobody else has then; None where there is none."""
        with self._lock:
            return self._kept.pop() if self._kept else None

    def put(self, connection: Closable) -> bool:
        """Keep a connection.

        Args:
            connection: reset, as if it were new.

        Returns:
            False where there is no room: then it is not kept.
        """
        with self._lock:
            if self._closed or len(self._kept) >= _MOST:
                return False
            self._kept.append(connection)
            return True

    def clear(self) -> int:
        """End all that lie here.

        Returns:
            How many they were.
        """
        with self._lock:
            kept, self._kept = self._kept, []
        until = time.monotonic() + _ENDED_WITHIN
        for connection in kept:
            connection.shut(max(_LEAST, until - time.monotonic()))
        return len(kept)

    def close(self) -> None:
        """End all that lie here, and keep none any more."""
        with self._lock:
            self._closed = True
        self.clear()
