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

from pgchaos.engine.cancel import cancel
from pgchaos.engine.connect import connected
from pgchaos.engine.created import Created, Refused
from pgchaos.engine.stop import Stop
from pgchaos.isolation.model import decoded, encoded

_COPY_FROM_STDIN = b"a spec has no data for COPY FROM STDIN"

CANCEL_LIMIT = 2.0
"""Seconds to get a cancel through to the server."""
_LOOK_UP = 10.0
"""Seconds to look up what a statement created."""

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
        pgchaos.engine.connect.ConnectionLost: the server could not be reached or refused.
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
        self.created: Created | None = None
        """What the sessions of the spec created, on a server that is not ours."""
        self._query = ""
        self._tags: list[str] = []
        self._failed = False

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
    def idle(self) -> bool:
        """Say whether it has nothing to do, and no transaction is open."""
        return not self.busy and self._pg.transaction_status == pq.TransactionStatus.IDLE

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
        self._query, self._tags, self._failed = query, [], False
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
            if self.created is not None:
                self.created.doubt(self._query)
                if not self._failed:
                    self.created.hear(self._query, self._tags, self._look_up)
        elif raw.status == pq.ExecStatus.COPY_IN:
            self._pg.put_copy_end(_COPY_FROM_STDIN)
            self._unsent = bool(self._pg.flush())
        elif raw.status == pq.ExecStatus.COPY_OUT:
            self._copy_out()
        else:
            self.events.append(raw)
            self._tags.append((raw.command_status or b"").decode())
            self._failed = self._failed or raw.status == pq.ExecStatus.FATAL_ERROR
            severity = raw.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
            self._fatal = severity in (b"FATAL", b"PANIC")

    def _look_up(self, query: str) -> list[tuple[str, ...]]:
        """Ask something of the engine's own, between two queries of the spec; it takes no time to speak of."""
        end = time.monotonic() + _LOOK_UP
        rows: list[tuple[str, ...]] = []
        refused = b""
        try:
            self._pg.send_query(query.encode())
            while True:
                while self._pg.flush() or self._pg.is_busy():
                    select.select([self._pg.socket], [], [], max(0.0, end - time.monotonic()))
                    if time.monotonic() > end:
                        cancel(self._pg)
                        end = time.monotonic() + _LOOK_UP
                    self._pg.consume_input()
                raw = self._pg.get_result()
                if raw is None:
                    break
                refused = refused or (raw.error_message if raw.status == pq.ExecStatus.FATAL_ERROR else b"")
                rows += [(decoded(raw.get_value(number, 0) or b""),) for number in range(raw.ntuples)]
        except OperationalError as error:
            raise Refused(str(error)) from error
        if refused:
            raise Refused(decoded(refused))
        return rows

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

    def cancel(self) -> bool:
        """Ask the server to cancel what runs here; no error when it cannot be asked.

        Returns:
            False where the server does not answer.
        """
        return cancel(self._pg, CANCEL_LIMIT)

    @property
    def silent(self) -> bool:
        """Say whether nothing has come in that was not asked for: not even the end of the connection."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self, *, cancels: bool = True) -> bool:
        """End the connection, and what still runs on it.

        Args:
            cancels: false where that has been tried.

        Returns:
            False where the server does not answer.
        """
        # a backend notices the end of its client only when it next reads
        answers = not (cancels and self.busy and self.alive) or self.cancel()
        self._pg.finish()
        self.busy = False
        return answers

    def shut(self, patience: float) -> None:  # noqa: ARG002 nothing was begun
        """End it for good: it was kept for somebody who does not need it any more."""
        self.close()
