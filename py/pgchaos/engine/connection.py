"""One connection on libpq, of which no wait is without a way out.

The loop is libpq's own (PostgreSQL docs, "Asynchronous Command Processing"): send, flush, poll the socket, consume, and
take a result only when it is there. `PQgetResult` while busy, and `PQcancel`, hold the GIL in psycopg's binary build.
"""

from __future__ import annotations

import contextlib
import math
import select
import time
from collections.abc import Callable, Sequence
from socket import SHUT_RDWR

# by itself: pytest-socket may put another class in its place
from socket import socket as Socket
from typing import TypeVar

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.answer import LOST, Answer, Result, Row, ServerError, server_error
from pgchaos.engine.cancel import CANCEL_LIMIT, cancel
from pgchaos.engine.connect import ConnectionLost, connected, recovers
from pgchaos.engine.created import Created, Refused, heard
from pgchaos.engine.stop import Stop

__all__ = ["Connection", "ConnectionLost", "connect_again"]

_ANSWER_TO_CANCEL = 2.5
"""Seconds a server has to answer a cancel before its socket is shut down."""
_CANCEL_AGAIN = 0.2
"""Seconds after which it is sent again: one that comes before the query has begun is ignored (ProcessInterrupts)."""

_LOOK_UP = 10.0
"""Seconds to look up what a statement created; that takes none on a server that answers."""
_RECOVERING = 0.02
"""Seconds between two attempts to connect to such a server."""

_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY)
_READ, _WRITE = select.POLLIN, select.POLLIN | select.POLLOUT


class Connection:
    """A connection that belongs to one thread.

    Args:
        conninfo: libpq's connection string.
        stop: whoever waits on this link is woken by it.
        notice: called with each notice of the server.
        connect_timeout: seconds to connect in.

    Raises:
        ConnectionLost: the server could not be reached or refused.
    """

    def __init__(
        self,
        conninfo: str,
        stop: Stop,
        notice: Callable[[pq.abc.PGresult], None] | None = None,
        connect_timeout: float = 30.0,
    ) -> None:
        self._deadline: float | None = None
        self._given_up: float | None = None
        self._doomed = False
        self.silent = False
        """The server did not even answer a cancel in time."""
        self.limit = math.inf
        """Seconds for a question of the engine's own, whatever that may take by itself; see `within`."""
        self.impatient = False
        """What is late is not cancelled: the connection is ended at once."""
        self.created: Created | None = None
        """What the sessions of the run created, on a server that is not ours."""
        self.disturbed = False
        """It was cancelled or broken off, and the server may act on that at any time."""
        self._pg = connected(conninfo, stop, connect_timeout)
        self._notice = notice
        self._farewell: ServerError | None = None
        self._broke: Exception | None = None
        self._pg.notice_handler = self._hear
        self._pg.nonblocking = 1
        self._fd = self._pg.socket
        self._poll = select.poll()
        self._poll.register(self._fd, _READ)
        self._heeded: int | None = stop.fileno()
        self._poll.register(self._heeded, select.POLLIN)
        self.pid = self._pg.backend_pid

    @property
    def status(self) -> int:
        """The transaction status, one of `pq.TransactionStatus`."""
        return self._pg.transaction_status

    @property
    def version(self) -> int:
        """The server's version, as 180006."""
        return self._pg.server_version

    def psql_variables(self) -> dict[str, str]:
        """Give what psql sets of a connection: DBNAME, USER, HOST, PORT, ENCODING and SERVER_VERSION_…."""
        pg = self._pg
        told = {
            "DBNAME": pg.db,
            "USER": pg.user,
            "HOST": pg.host,
            "PORT": pg.port,
            "ENCODING": pg.parameter_status(b"client_encoding") or b"UTF8",
            "SERVER_VERSION_NAME": pg.parameter_status(b"server_version") or b"",
        }
        number = {"SERVER_VERSION_NUM": str(pg.server_version)}
        return number | {name: value.decode("utf-8", "replace") for name, value in told.items()}

    def within(self, seconds: float) -> float:
        """Give the deadline of a question of the engine's own, which takes no longer than the scenario may.

        Args:
            seconds: that it may take.
        """
        return time.monotonic() + min(seconds, self.limit)

    @property
    def alive(self) -> bool:
        """Say whether the connection stands, as far as libpq knows."""
        return self._pg.status == pq.ConnStatus.OK

    def stands(self) -> bool:
        """Say whether it can be asked something, by what has come in; the server itself is not asked."""
        with contextlib.suppress(OperationalError):
            self._pg.consume_input()
            self._pg.is_busy()  # reads what is there: the server's last words come before the end of the connection
        return self.alive and self._farewell is None and self.status != pq.TransactionStatus.ACTIVE

    def lost_before(self) -> ServerError | None:
        """Say that the connection has ended without a word, so that nothing sent now reaches the server.

        Returns:
            The error; None where it stands, or where the server said why it ends: that comes as the statement's answer.
        """
        if self.stands() or self._farewell is not None or self.alive:
            return None
        message = "the connection was lost before this was sent"
        return ServerError(LOST, message, lost=True, said=False, sent=False)

    def ask(self, query: str, copy: str | None = None, deadline: float | None = None) -> Answer:
        """Send a query by the simple protocol and take all of its answer.

        Args:
            query: what psql would send.
            copy: data for COPY … FROM STDIN.
            deadline: on `time.monotonic()`; then the query is cancelled. None or infinity: when the run stops.

        Returns:
            The answer; an error is in it and never raised.
        """
        pg, self._deadline, self._given_up = self._pg, None if deadline == math.inf else deadline, None
        answer = Answer(before=pg.transaction_status)
        try:
            pg.send_query(query.encode())
            if pg.flush():
                self._flush(answer)
            else:
                # all of it has just gone out: nothing of the answer can be here, so do not ask whether it is
                self._wait(answer)
            self._results(answer, copy)
        except OperationalError as error:
            self._last_words(answer)
            self._lost(answer, str(error))
        answer = self._ended(answer)
        if self.created is not None:
            heard(self.created, query, answer, self._look_up)
        return answer

    def _look_up(self, query: str) -> Sequence[Row]:
        """Ask something of the engine's own, between two statements of a session."""
        answer = Connection.ask(self, query, deadline=time.monotonic() + _LOOK_UP)
        if answer.error is not None or answer.interrupted:
            raise Refused("" if answer.error is None else answer.error.message)
        return [row for result in answer.results for row in result.rows()]

    def say(self, query: str, deadline: float) -> Answer:
        """Send a query and do not wait for its answer; nothing else may be asked before `hear` was called.

        Args:
            query: as for `ask`.
            deadline: on `time.monotonic()`, for the sending.

        Returns:
            What `hear` takes.
        """
        self._deadline, self._given_up = deadline, None
        answer = Answer(before=self._pg.transaction_status)
        try:
            self._pg.send_query(query.encode())
            self._flush(answer)
        except OperationalError as error:
            self._last_words(answer)
            self._lost(answer, str(error))
        return answer

    def hear(self, answer: Answer, deadline: float) -> Answer:
        """Take the answer to what was said.

        Args:
            answer: of `say`.
            deadline: as for `ask`.

        Returns:
            The same, whole.
        """
        self._deadline = None if deadline == math.inf else deadline
        try:
            if answer.error is None:
                self._results(answer, None)
        except OperationalError as error:
            self._last_words(answer)
            self._lost(answer, str(error))
        return self._ended(answer)

    def _ended(self, answer: Answer) -> Answer:
        if self._broke is not None:
            broke, self._broke = self._broke, None
            raise broke
        answer.after = self._pg.transaction_status
        # which libpq says of every connection that is bad
        if answer.after == pq.TransactionStatus.UNKNOWN and answer.error is None:
            self._lost(answer, "server closed the connection unexpectedly")
        return answer

    def _results(self, answer: Answer, copy: str | None) -> None:
        pg = self._pg
        while True:
            while pg.is_busy():
                self._wait(answer)
            raw = pg.get_result()
            if raw is None:
                return
            status = raw.status
            if status in _DONE:
                tag = (raw.command_status or b"").decode()
                answer.results.append(Result(tag, raw))
            elif status == pq.ExecStatus.COPY_IN:
                self._copy_in(answer, copy)
            elif status == pq.ExecStatus.COPY_OUT:
                self._copy_out(answer)
            elif answer.error is None:
                answer.error = server_error(raw, pg.status == pq.ConnStatus.BAD)
            if status == pq.ExecStatus.COPY_BOTH:
                # replication's protocol, which a SQL file cannot speak
                self.abort()
                return

    def _copy_in(self, answer: Answer, copy: str | None) -> None:
        if copy is None:
            self._pg.put_copy_end(b"no data stands behind this COPY")
        else:
            data = copy.encode()
            for start in range(0, len(data), 65536):
                self._pg.put_copy_data(data[start : start + 65536])
                self._flush(answer)
            self._pg.put_copy_end()
        self._flush(answer)

    def _copy_out(self, answer: Answer) -> None:
        while True:
            size, data = self._pg.get_copy_data(1)
            if size > 0:
                answer.copied.append(bytes(data).decode("utf-8", "replace").rstrip("\n"))
            elif size == 0:
                self._wait(answer)
            else:
                return

    def _flush(self, answer: Answer) -> None:
        while self._pg.flush():
            self._wait(answer, _WRITE)

    def _wait(self, answer: Answer, events: int = _READ) -> None:
        """Wait for the socket, and read what is there; a stop or the deadline cancels the query."""
        if events == _READ and self._deadline is None:
            # what every statement does: as little Python as can be
            ready = self._poll.poll()
            if len(ready) == 1 and ready[0][0] == self._fd:
                self._pg.consume_input()
                return
            self._attend_to(ready, answer)
            return
        if events != _READ:
            self._poll.modify(self._fd, events)
        try:
            ready = self._poll.poll(None if self._deadline is None else self._milliseconds(self._deadline))
        finally:
            if events != _READ:
                self._poll.modify(self._pg.socket, _READ)
        self._attend_to(ready, answer)

    def _attend_to(self, ready: list[tuple[int, int]], answer: Answer) -> None:
        who = {fd for fd, _ in ready}
        if self._pg.socket in who:
            self._pg.consume_input()
        # also where data came in: a result without end would hide the stop
        if who - {self._pg.socket} or self._late():
            self._interrupt(answer)

    def _milliseconds(self, deadline: float) -> float:
        return max(0.0, deadline - time.monotonic()) * 1000

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _interrupt(self, answer: Answer) -> None:
        """Cancel what runs; when the server does not answer that either, end the connection."""
        if self.impatient:
            answer.interrupted = self.silent = True
            self.abort()
            return
        if self._given_up is None:
            answer.interrupted = True
            self._given_up = time.monotonic() + _ANSWER_TO_CANCEL
            self.deafen()
        elif self._doomed or time.monotonic() >= self._given_up:
            self.silent = True
            self.abort()
            return
        self.cancel(self._given_up - time.monotonic())
        self._deadline = min(time.monotonic() + _CANCEL_AGAIN, self._given_up)

    def deafen(self) -> None:
        """Heed the stop no more: for what is still to be said after it (a stop stays readable for ever)."""
        heeded, self._heeded = self._heeded, None
        if heeded is not None:
            self._poll.unregister(heeded)

    def attend(self, stop: Stop, notice: Callable[[pq.abc.PGresult], None] | None) -> None:
        """Serve another run, after `deafen`.

        Args:
            stop: to be heeded from now on.
            notice: called with each notice from now on.
        """
        self._notice, self._farewell, self._heeded = notice, None, stop.fileno()
        self._poll.register(self._heeded, select.POLLIN)

    def cancel(self, seconds: float = CANCEL_LIMIT) -> None:
        """Ask the server to cancel what runs here, and no error when it cannot be asked.

        Args:
            seconds: to get that through.
        """
        self.disturbed = True
        cancel(self._pg, seconds)

    def abort(self) -> None:
        """End the connection; only in the thread that it belongs to, for another would do it to a stranger's socket."""
        self.disturbed = True
        with contextlib.suppress(OperationalError, OSError):  # libpq has closed it, or the other end has hung up
            own = Socket(fileno=self._pg.socket)
            try:
                own.shutdown(SHUT_RDWR)
            finally:
                own.detach()  # it is libpq's

    def abort_soon(self) -> None:
        """Have the thread that waits on it, and has been told to stop, end the connection; from any thread."""
        self.disturbed = self._doomed = True

    def _last_words(self, answer: Answer) -> None:
        """Take what the server said before the connection broke; libpq does not wait on a connection that is bad."""
        while self._pg.status == pq.ConnStatus.BAD and (raw := self._pg.get_result()) is not None:
            if raw.status == pq.ExecStatus.FATAL_ERROR and answer.error is None:
                said = server_error(raw, lost=True)
                answer.error = said if said.said else None

    def _hear(self, raw: pq.abc.PGresult) -> None:
        """Take a notice. What ends a connection while no query runs comes as one too (libpq's pqParseInput3)."""
        if raw.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in (b"FATAL", b"PANIC"):
            self._farewell = server_error(raw, lost=True)
        elif self._notice is not None:
            try:
                self._notice(raw)
            except Exception as error:
                # psycopg would only log it: raised to who waits for the answer
                self._broke = self._broke or error

    def _lost(self, answer: Answer, message: str) -> None:
        if answer.error is None:
            answer.error = self._farewell or ServerError(LOST, message.strip(), lost=True, said=False)

    def notifications(self) -> list[tuple[str, str]]:
        """Take the notifications that have come in: channel and payload of each."""
        came = []
        with contextlib.suppress(OperationalError):  # broken: what came before is told
            self._pg.consume_input()
        while (note := self._pg.notifies()) is not None:
            came.append((note.relname.decode("utf-8", "replace"), note.extra.decode("utf-8", "replace")))
        return came

    def close(self) -> None:
        """End the connection, and what still runs on it; doing so again does nothing."""
        if self._pg.transaction_status == pq.TransactionStatus.ACTIVE and not self.silent:
            # Ctrl-C came between: a backend notices the end of its client only when it next reads
            self.cancel()
        self._pg.finish()


L = TypeVar("L", bound=Connection)


def connect_again(
    conninfo: str,
    stop: Stop,
    notice: Callable[[pq.abc.PGresult], None] | None = None,
    seconds: float = 30.0,
    kind: type[L] = Connection,  # type: ignore[assignment]  # mypy #3737: a default for a type variable
) -> L:
    """Open a link to a server that may be recovering from a crash just now.

    Args:
        conninfo: as for Connection.
        stop: as for Connection.
        notice: as for Connection.
        seconds: to wait until it accepts connections.
        kind: of link.

    Returns:
        The link.

    Raises:
        ConnectionLost: as for Connection; 57P03 where it still recovers.
    """
    deadline = time.monotonic() + seconds
    while isinstance(link := _link_or_not(conninfo, stop, notice, seconds, kind), ConnectionLost):
        if not recovers(link.error) or time.monotonic() > deadline or stop.wait(_RECOVERING):
            raise link
    return link


def _link_or_not(
    conninfo: str, stop: Stop, notice: Callable[[pq.abc.PGresult], None] | None, seconds: float, kind: type[L]
) -> L | ConnectionLost:
    try:
        return kind(conninfo, stop, notice, seconds)
    except ConnectionLost as refused:
        return refused
