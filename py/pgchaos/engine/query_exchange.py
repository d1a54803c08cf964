"""Sends a query and reads its results, COPY included, as far as the socket allows; it never blocks.

It follows libpq's asynchronous command processing (PostgreSQL docs): send, flush, consume, and fetch a result only when
it is there.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator
from socket import SHUT_RDWR

# bound here: pytest-socket may replace socket.socket
from socket import socket as Socket

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.answer import BLOCK, Answer, Result, server_error
from pgchaos.server_text import decoded, encoded

_CHUNK = 65536
"""Bytes of a COPY that are passed to libpq at a time."""

_DONE = frozenset(map(int, (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY)))
_ROWS = int(pq.ExecStatus.TUPLES_OK)
_COPY = frozenset(map(int, (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT)))
READ, WRITE = select.POLLIN, select.POLLIN | select.POLLOUT


class QueryExchange:
    """The exchange of queries and results on one connection."""

    no_data = b"no data stands behind this COPY"
    """The error message for a COPY … FROM STDIN without data."""

    def __init__(self, pg: pq.abc.PGconn) -> None:
        self._pg = pg
        pg.nonblocking = 1
        self.busy = False
        """A query is in progress, as of the last `pump`."""
        self._unsent = False
        self._rows_only = False  # results without rows are not kept
        self._copy: str | None = None
        self._copies = 0  # the ExecStatus of the COPY in progress
        self._to_copy: Iterator[bytes] = iter(())
        self._answer = Answer(pg.transaction_status)
        self.disturbed = False
        """It was cancelled or aborted, and the server may act on that at any time."""

    @property
    def wants(self) -> int:
        """The events to poll the socket for."""
        return WRITE if self._unsent else READ

    @property
    def in_block(self) -> bool:
        """Whether a transaction block is open, failed or not."""
        return self._pg.transaction_status in BLOCK

    def send(self, query: str, copy: str | None = None) -> None:
        """Send a query; then `busy` is set until `pump` has read all of the answer.

        Args:
            query: of one or more statements.
            copy: data for COPY … FROM STDIN.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        self._pg.send_query(encoded(query))
        self._copy, self._copies, self.busy = copy, 0, True
        self._unsent = bool(self._pg.flush())

    def pump(self) -> None:
        """Process the received data, when the socket is ready."""
        pg = self._pg
        pg.consume_input()
        if self._unsent:
            self._send_on()
        while self.busy:
            if self._copies and not self._copy_on():
                return
            if pg.is_busy():
                return
            raw = pg.get_result()
            if raw is None:
                self.busy = False
            elif (status := raw.status) in _DONE:
                if status == _ROWS or not self._rows_only:
                    self._note(raw, status)
            else:
                self._take(raw, status)

    def _take(self, raw: pq.abc.PGresult, status: int) -> None:
        """Process a result other than the end of a successful statement."""
        if status in _COPY:
            self._copies = status
            self._to_copy = _chunks(self._copy)
        elif status == pq.ExecStatus.COPY_BOTH:
            # the replication protocol, which a SQL file cannot use
            self._note(raw, status)
            self.abort()
            self.busy = False
        else:
            self._note(raw, status)

    def _note(self, raw: pq.abc.PGresult, status: int) -> None:
        """Add a result, or the first error, to the answer."""
        if status in _DONE:
            self._answer.results.append(Result((raw.command_status or b"").decode(), raw))
        elif self._answer.error is None:
            self._answer.error = server_error(raw, self._pg.status == pq.ConnStatus.BAD)

    def _send_on(self) -> None:
        """Send more of a query or its COPY data, as far as the socket accepts it."""
        self._unsent = bool(self._pg.flush())

    def _copy_on(self) -> bool:
        """Copy more, to the server or from it; return whether the COPY has ended."""
        if self._copies == pq.ExecStatus.COPY_OUT:
            size, data = self._pg.get_copy_data(1)
            while size > 0:
                self._copied(bytes(data))
                size, data = self._pg.get_copy_data(1)
            over = size < 0
        else:
            over = False
            while not over and not self._unsent:
                chunk = next(self._to_copy, None)
                if chunk is not None:
                    self._pg.put_copy_data(chunk)
                else:
                    self._pg.put_copy_end(self.no_data if self._copy is None else None)
                    over = True
                self._send_on()
        if over:
            self._copies = 0
        return over

    def _copied(self, line: bytes) -> None:
        self._answer.copied.append(decoded(line).rstrip("\n"))

    def abort(self) -> None:
        """Shut the socket down, even during a wait on it."""
        self.disturbed = True
        with contextlib.suppress(OperationalError, OSError):  # libpq has closed it, or the peer has
            own = Socket(fileno=self._pg.socket)
            try:
                own.shutdown(SHUT_RDWR)
            finally:
                own.detach()  # the descriptor belongs to libpq


def _chunks(copy: str | None) -> Iterator[bytes]:
    data = encoded(copy or "")
    return (data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK))
