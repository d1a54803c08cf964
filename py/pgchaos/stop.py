"""A stop that reaches a thread wherever it waits: in a loop of its own, or in a delay."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

_LONGEST = 1_000_000.0
"""Seconds, about as long as poll can wait."""


class Stop:
    """Set once, never taken back.

    `fileno()` becomes readable when it is set and stays so, for every thread that polls it.
    """

    def __init__(self) -> None:
        self._set = False
        self._lock = threading.Lock()
        # no sockets: pytest-socket may forbid them, and would see these as the network
        self._reader, self._writer = os.pipe()
        self._callbacks: list[Callable[[], None]] = []
        self._closed = False

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._reader

    def is_set(self) -> bool:
        """Say whether it was set."""
        return self._set

    def call(self, callback: Callable[[], None]) -> None:
        """Have something called when it is set.

        Args:
            callback: called once, in the thread that sets it; at once where it is set already.
        """
        with self._lock:
            if not self._set:
                self._callbacks.append(callback)
                return
        callback()

    def call_no_more(self, callback: Callable[[], None]) -> None:
        """Take back what `call` was given; nothing happens where it was called already.

        Args:
            callback: the same.
        """
        with self._lock, suppress(ValueError):  # called, and so gone from the list
            self._callbacks.remove(callback)

    def set(self) -> None:
        """Stop all who wait; doing so again does nothing."""
        with self._lock:
            if self._set or self._closed:
                return
            self._set = True
            os.write(self._writer, b"x")
            callbacks = self._callbacks[:]
        with ExitStack() as stack:
            # all of them, the first first, even where one raises
            for callback in reversed(callbacks):
                stack.callback(callback)

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, or some time has gone by.

        Args:
            seconds: to wait at most.

        Returns:
            True where it was set.
        """
        if not self._set and seconds > 0:
            poll = select.poll()
            poll.register(self._reader, select.POLLIN)
            poll.poll(min(seconds, _LONGEST) * 1000)
        return self._set

    def close(self) -> None:
        """Give its descriptors back; nobody may poll it any more."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._reader)
                os.close(self._writer)
                # their numbers may be another's now
                self._reader = self._writer = -1
