"""A connection of a spec: one of several that one thread drives in one poll loop.

What the server sends is kept in order, notices between results, until it is the connection's turn to be reported.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from typing import TypeAlias

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.cancelling import cancel
from pgchaos.engine.connecting import connected
from pgchaos.engine.stop import Stop
from pgchaos.isolation.model import decoded, encoded

_COPY_FROM_STDIN = b"a spec has no data for COPY FROM STDIN"
_END = 1.0
"""Seconds in which a backend ends a query that was cancelled because its connection is closed."""

Event: TypeAlias = "str | pq.abc.PGresult"
"""A notice, as libpq words it, or a result."""


class Interrupted(Exception):
    """The run is stopped, or its time is over: the message says which."""


class Connection:
    """A connection that is never waited on inside libpq.

    Args:
        conninfo: libpq's connection string.
        stop: ends the wait for the server.
        seconds: to connect in.

    Raises:
        pgchaos.engine.connecting.LinkError: the server could not be reached or refused.
    """

    def __init__(self, conninfo: str, stop: Stop, seconds: float = 30.0) -> None:
        self._pg = connected(conninfo, stop, seconds)
        self._pg.nonblocking = 1
        self._pg.notice_handler = self._hear
        self._fatal = False
        self._unsent = False
        self.events: deque[Event] = deque()
        self.copied: list[str] = []
        """What COPY TO STDOUT sent since the last query."""
        self.busy = False
        """It has a query that is not over, as far as it was pumped."""
        self.pid = self._pg.backend_pid

    def fileno(self) -> int:
        """Return the socket to poll; it changes never, and is -1 when the connection is gone."""
        try:
            return self._pg.socket
        except OperationalError:
            return -1

    @property
    def alive(self) -> bool:
        """Say whether the connection stands, as far as libpq knows."""
        return self._pg.status == pq.ConnStatus.OK

    @property
    def in_transaction(self) -> bool:
        """Say whether a transaction block is open, failed or not."""
        return self._pg.transaction_status in (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)

    @property
    def wants(self) -> int:
        """What to poll the socket for."""
        return select.POLLIN | (select.POLLOUT if self._unsent else 0)

    def _hear(self, raw: pq.abc.PGresult) -> None:
        self.events.append(decoded(raw.error_message))

    def send(self, query: str) -> None:
        """Send a query; then it is busy until it was pumped to the end.

        Args:
            query: of one or more statements.

        Raises:
            psycopg.OperationalError: the connection is gone.
        """
        self.copied.clear()
        self._pg.send_query(encoded(query))
        self.busy = True
        self._unsent = bool(self._pg.flush())

    def pump(self) -> None:
        """Take what has come in; the socket was found ready."""
        if self._fatal:
            # the server closes after FATAL: libpq finds the end, and words it as it does for isolationtester
            self._take_all()
            return
        try:
            self._pg.consume_input()
            if self._unsent:
                self._unsent = bool(self._pg.flush())
        except OperationalError:
            self._take_all()
            return
        while self.busy and not self._pg.is_busy():
            self._take()

    def _take(self) -> None:
        raw = self._pg.get_result()
        if raw is None:
            self.busy = False
        elif raw.status == pq.ExecStatus.COPY_IN:
            self._pg.put_copy_end(_COPY_FROM_STDIN)
            self._unsent = bool(self._pg.flush())
        elif raw.status == pq.ExecStatus.COPY_OUT:
            self._copy_out()
        else:
            self.events.append(raw)
            severity = raw.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
            self._fatal = severity in (b"FATAL", b"PANIC")

    def _copy_out(self) -> None:
        size, data = self._pg.get_copy_data(1)
        while size > 0:
            self.copied.append(decoded(bytes(data)))
            size, data = self._pg.get_copy_data(1)

    def _take_all(self) -> None:
        while (raw := self._pg.get_result()) is not None:
            self.events.append(raw)
        self.busy = self._unsent = False

    def notifications(self) -> list[tuple[str, str, int]]:
        """Take the notifications that have come in: channel, payload and the sender's pid of each."""
        came = []
        with contextlib.suppress(OperationalError):  # broken: what came before is told
            self._pg.consume_input()
            while (note := self._pg.notifies()) is not None:
                came.append((decoded(note.relname), decoded(note.extra), note.be_pid))
                self._pg.consume_input()
        return came

    def cancel(self) -> None:
        """Ask the server to cancel what runs here; at most 3 seconds, and no error when it cannot be asked."""
        cancel(self._pg)

    def close(self) -> None:
        """End the connection, and what still runs on it."""
        if self.busy and self.alive:
            # a backend notices the end of its client only when it next reads
            self.cancel()
        self._pg.finish()
        self.busy = False


class Waiting:
    """Waits for connections, for a limit of time, and for a stop.

    Args:
        stop: that ends every wait.
        deadline: on `time.monotonic()`, of the whole run; None for no limit.
    """

    def __init__(self, stop: Stop, deadline: float | None) -> None:
        self.stop, self._deadline = stop, deadline
        self._poll = select.poll()
        self._poll.register(stop.fileno(), select.POLLIN)
        self._polled: dict[int, tuple[Connection, int]] = {}

    def add(self, connection: Connection) -> None:
        """Have a busy connection polled until its query is over."""
        fd, wants = connection.fileno(), connection.wants
        self._poll.register(fd, wants)
        self._polled[fd] = connection, wants

    def busy(self) -> list[Connection]:
        """List the connections that were added and are not over."""
        return [connection for connection, _ in self._polled.values()]

    def news(self, seconds: float) -> bool:
        """Wait until a connection has news, and take what has come in on all.

        Args:
            seconds: at most; 0 to look only.

        Returns:
            False where the time went by.

        Raises:
            Interrupted: stopped, or the time of the whole run is over.
        """
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise Interrupted("its time is over")
            seconds = min(seconds, left)
        ready = self._poll.poll(seconds * 1000)
        for fd, _ in ready:
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

    def drop(self, connection: Connection) -> None:
        """Have a connection polled no more."""
        fd = next((fd for fd, (polled, _) in self._polled.items() if polled is connection), None)
        if fd is not None:
            self._poll.unregister(fd)
            del self._polled[fd]

    def until_over(self, connections: list[Connection], seconds: float) -> bool:
        """Wait until connections are over.

        Args:
            connections: that were added.
            seconds: at most.

        Returns:
            False where the time went by.

        Raises:
            Interrupted: as for `news`.
        """
        end = time.monotonic() + seconds
        while any(connection.busy for connection in connections):
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.news(left)
        return True
