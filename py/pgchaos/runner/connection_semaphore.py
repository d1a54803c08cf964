"""Connection slots of a server, shared by scenarios that run side by side. Knows no database and no pytest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


class ConnectionSemaphore:
    """A number of slots, given out in the order in which they were asked for.

    Who asks for many is not overtaken by those who ask for few, so that everybody gets his turn.

    Args:
        total: how many there are, at least 1.
    """

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._taken = 0
        self._turn = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Hold slots, waiting for them."""
        count = min(count, self._total)
        me = object()
        with self._turn:
            self._queue.append(me)
            try:
                self._turn.wait_for(lambda: self._queue[0] is me and self._taken + count <= self._total)
                self._taken += count
            finally:
                self._queue.remove(me)
                self._turn.notify_all()
        try:
            yield
        finally:
            with self._turn:
                self._taken -= count
                self._turn.notify_all()

    def all(self) -> AbstractContextManager[None]:
        """Hold all slots: nobody else has any."""
        return self.hold(self._total)
