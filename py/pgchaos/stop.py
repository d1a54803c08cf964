"""A stop signal that ends every wait of a thread: in an event loop, or in a delay."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

_LONGEST = 1_000_000.0  # seconds, about the longest that poll accepts


class Stop:
    """An event that can be set once and is never cleared.

    Its descriptor (`fileno()`) becomes readable when it is set and stays readable, for every thread that polls it.
    """

    def __init__(self) -> None:
        self._set = False
        self._lock = threading.Lock()
        # a pipe, not a socket pair: pytest-socket may forbid sockets
        self._reader, self._writer = os.pipe()
        self._callbacks: list[Callable[[], None]] = []
        self._closed = False

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._reader

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Add a function that is called once, in the thread that sets the stop; immediately if it is already set."""
        with self._lock:
            if not self._set:
                self._callbacks.append(callback)
                return
        callback()

    def remove_callback(self, callback: Callable[[], None]) -> None:
        """Remove a callback; one that is not in the list is ignored."""
        with self._lock, suppress(ValueError):  # it is not in the list
            self._callbacks.remove(callback)

    def set(self) -> None:
        """End all waits and run the callbacks. Further calls have no effect."""
        with self._lock:
            if self._set or self._closed:
                return
            self._set = True
            os.write(self._writer, b"x")
            callbacks = self._callbacks[:]
        with ExitStack() as stack:
            # runs all callbacks in the order in which they were added, even if one raises
            for callback in reversed(callbacks):
                stack.callback(callback)

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, for at most `seconds`; return whether it is set."""
        if not self._set and seconds > 0:
            poll = select.poll()
            poll.register(self._reader, select.POLLIN)
            poll.poll(min(seconds, _LONGEST) * 1000)
        return self._set

    def close(self) -> None:
        """Close its descriptors. It must not be polled after that."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._reader)
                os.close(self._writer)
                # another file may get these numbers
                self._reader = self._writer = -1
