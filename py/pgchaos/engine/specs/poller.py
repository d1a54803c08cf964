"""Polls all connections of a spec."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence

from pgchaos.engine.loop import ready_descriptors
from pgchaos.engine.specs.spec_connection import Interrupted, SpecConnection
from pgchaos.stop import Stop


class Poller:
    """Waits for connections, with a deadline and a stop.

    Args:
        stop: ends every wait.
        deadline: of the whole run, on `time.monotonic()`; None: no limit.
    """

    def __init__(self, stop: Stop, deadline: float | None) -> None:
        self.stop, self._deadline = stop, deadline
        self._poll = select.poll()
        self._poll.register(stop.fileno(), select.POLLIN)
        self._polled: dict[int, tuple[SpecConnection, int]] = {}

    def add(self, connection: SpecConnection) -> None:
        """Poll a busy connection until its query has ended."""
        fd, wants = connection.fileno(), connection.wants
        self._poll.register(fd, wants)
        self._polled[fd] = connection, wants

    def busy(self) -> list[SpecConnection]:
        """List the polled connections."""
        return [connection for connection, _ in self._polled.values()]

    def within(self, seconds: float) -> float:
        """Limit seconds to those left for the whole run, at least 0.1."""
        return seconds if self._deadline is None else max(0.1, min(seconds, self._deadline - time.monotonic()))

    def poll(self, seconds: float) -> bool:
        """Wait until a connection is ready, and process the data of all that are; return whether any was."""
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise Interrupted("its time is over")
            seconds = min(seconds, left)
        polled = {self.stop.fileno(): select.POLLIN, **{fd: wants for fd, (_, wants) in self._polled.items()}}
        ready = ready_descriptors(self._poll, polled, seconds)
        for fd in ready:
            if fd not in self._polled:
                raise Interrupted("the run was stopped")
            self._pump(fd)
        return bool(ready)

    def _pump(self, fd: int) -> None:
        connection, wanted = self._polled[fd]
        connection.pump()
        if not connection.busy:
            self._poll.unregister(fd)
            del self._polled[fd]
        elif connection.wants != wanted:
            self._poll.modify(fd, connection.wants)
            self._polled[fd] = connection, connection.wants

    def drop(self, connection: SpecConnection) -> None:
        """Stop polling a connection."""
        fd = next((fd for fd, (polled, _) in self._polled.items() if polled is connection), None)
        if fd is not None:
            self._poll.unregister(fd)
            del self._polled[fd]

    def until_over(self, connections: Sequence[SpecConnection], seconds: float) -> bool:
        """Wait until the queries of connections have ended; False if the time is over before."""
        end = time.monotonic() + seconds
        for connection in connections:
            while connection.busy:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self.poll(left)
        return True
