"""One connection on libpq. A stop or a deadline ends each of its waits.

It follows libpq's asynchronous command processing (PostgreSQL docs): send, flush, wait for the socket, consume, and
fetch a result only when it is there. `PQgetResult` while busy, and `PQcancel`, would block all other sessions.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from psycopg import pq
from psycopg.errors import OperationalError
from psycopg.pq.misc import PGnotify

from pgchaos.engine.answer import LOST, Answer, Row, ServerError, server_error
from pgchaos.engine.cancel import CANCEL_LIMIT, cancel
from pgchaos.engine.connect import ConnectionLost, open_pgconn
from pgchaos.engine.created import Created, Refused, note_created
from pgchaos.engine.loop import run_sync
from pgchaos.engine.query_exchange import READ, WRITE, QueryExchange
from pgchaos.engine.waits import READY, Wait, WakeReason, has_ended
from pgchaos.server_text import decoded
from pgchaos.stop import Stop

__all__ = ["PATIENCE", "Connection", "ConnectionLost"]

_ANSWER_TO_CANCEL = 2.5
"""Seconds for a server to react to a cancel before the socket is shut down."""
_CANCEL_AGAIN = 0.2
"""Seconds after which it is sent again: the server ignores a cancel before the query begins (ProcessInterrupts)."""
PATIENCE = 10.0
"""Seconds for a query that is immediate on a server that answers."""
_UNKNOWN = int(pq.TransactionStatus.UNKNOWN)

L = TypeVar("L", bound="Connection")


class Connection(QueryExchange):
    """A connection: `open` makes one.

    Args:
        pg: libpq's connection, open.
        stop: ends every wait on it, until `ignore_stop`; None: no stop.
        notice: called with each notice of the server.
    """

    def __init__(
        self, pg: pq.abc.PGconn, stop: Stop | None, notice: Callable[[pq.abc.PGresult], None] | None = None
    ) -> None:
        super().__init__(pg)
        self._notice = notice
        pg.notice_handler = self._on_notice
        self.pid = pg.backend_pid
        self._waits = Wait(pg.socket, self.wants, None, stop)
        self._deadline: float | None = None
        self._give_up_at: float | None = None
        self._fatal_notice: ServerError | None = None
        self._notice_error: Exception | None = None
        self.silent = False
        """The server did not react even to a cancel in time."""
        self.limit = math.inf
        """Upper bound in seconds for a query of the engine; see `within`."""
        self.ends_when_late = False
        """A late query is not cancelled: the connection is ended at once."""
        self.settings: tuple[bool, bool] | None = None  # the result of `LockMonitor.settings` on it
        self.prepared: dict[str, str] = {}
        """The EXECUTE of each query of the engine that is prepared here, by its text."""
        self.created: Created | None = None
        """Records what the sessions of the run create; None on a server of ours."""

    @classmethod
    async def open(
        cls: type[L],
        conninfo: str,
        stop: Stop,
        notice: Callable[[pq.abc.PGresult], None] | None = None,
        seconds: float = 30.0,
    ) -> L:
        """Connect.

        Args:
            conninfo: libpq's connection string.
            stop: ends every wait on the connection.
            notice: called with each notice of the server.
            seconds: to connect in.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        return cls(await open_pgconn(conninfo, stop, seconds), stop, notice)

    @property
    def status(self) -> int:
        """The transaction status, one of `pq.TransactionStatus`."""
        return self._pg.transaction_status

    @property
    def version(self) -> int:
        """The server's version, as 180006."""
        return self._pg.server_version

    @property
    def is_superuser(self) -> bool:
        """Whether the current role is a superuser: the server reports each change, as by SET ROLE."""
        return self._pg.parameter_status(b"is_superuser") == b"on"

    @property
    def any_bytes(self) -> bool:
        """Whether its database stores any bytes as text: its encoding is SQL_ASCII."""
        return self._pg.parameter_status(b"server_encoding") == b"SQL_ASCII"

    def psql_variables(self) -> dict[str, str]:
        """Return the variables that psql sets on connecting: DBNAME, USER, HOST, PORT, ENCODING, SERVER_VERSION_…."""
        pg = self._pg
        parameters = {
            "DBNAME": pg.db,
            "USER": pg.user,
            "HOST": pg.host,
            "PORT": pg.port,
            "ENCODING": pg.parameter_status(b"client_encoding") or b"UTF8",
            "SERVER_VERSION_NAME": pg.parameter_status(b"server_version") or b"",
        }
        number = {"SERVER_VERSION_NUM": str(pg.server_version)}
        return number | {name: decoded(value) for name, value in parameters.items()}

    def within(self, seconds: float) -> float:
        """Return the deadline of a query of the engine, which takes no longer than the scenario may."""
        return time.monotonic() + min(seconds, self.limit)

    @property
    def alive(self) -> bool:
        """Whether the connection is open, as far as libpq knows."""
        return self._pg.status == pq.ConnStatus.OK

    def has_ended(self) -> bool:
        """Whether the peer has closed it, as the kernel reports; nothing is read."""
        return not self.alive or has_ended(self._pg.socket)

    def is_usable(self) -> bool:
        """Whether it can send a query, judged by the received data; the server is not asked."""
        with contextlib.suppress(OperationalError):  # it is broken: `status` shows that
            self._pg.consume_input()
            self._pg.is_busy()  # parses the received data: a FATAL message precedes the end of the connection
        return self.alive and self._fatal_notice is None and self.status != pq.TransactionStatus.ACTIVE

    def lost_before(self) -> ServerError | None:
        """Return an error if the connection has ended without a message: nothing sent now reaches the server."""
        if self.is_usable() or self._fatal_notice is not None or self.alive:
            return None
        message = "the connection was lost before this was sent"
        return ServerError(LOST, message, lost=True, from_server=False, sent=False)

    # one query and its answer

    def execute(
        self, query: str, copy: str | None = None, deadline: float | None = None
    ) -> Coroutine[Any, Any, Answer]:
        """Send a query by the simple protocol; await the returned coroutine at once for the answer.

        Args:
            query: what psql would send.
            copy: data for COPY … FROM STDIN.
            deadline: on `time.monotonic()`; then the query is cancelled. None or infinity: only when the run stops.

        Returns:
            The answer; it has the error, which is never raised.
        """
        # not `async`: that would add a coroutine to each statement
        answer = self.finish(self.begin(query, copy), deadline)
        return answer if self.created is None else self._with_created(self.created, query, answer)

    async def _with_created(self, created: Created, query: str, pending: Coroutine[Any, Any, Answer]) -> Answer:
        answer = await pending
        await note_created(created, query, answer, self._look_up)
        return answer

    def ask(self, query: str, copy: str | None = None, deadline: float | None = None) -> Answer:
        """Call `execute` without a loop."""
        return run_sync(self.execute(query, copy, deadline))

    def ask_own(self, query: str, deadline: float, *, last: bool = False) -> Answer:  # noqa: ARG002  # used by PooledConnection
        """Run a query of the engine without a loop; `last`: no other follows."""
        return run_sync(self.finish(self.begin(query), deadline))

    def rows(self, query: str, deadline: float) -> list[Row]:
        """Return the rows of a query, without a loop.

        Args:
            query: one or more statements; their rows are concatenated.
            deadline: as for `execute`.

        Raises:
            ConnectionLost: the server refused.
        """
        answer = self.ask(query, deadline=deadline)
        if answer.error is not None:
            raise ConnectionLost(answer.error)
        return answer.rows()

    def begin(self, query: str, copy: str | None = None, *, rows_only: bool = False) -> Answer:
        """Send a query without waiting for its answer. Call `finish` before the next query.

        Args:
            query: as for `execute`.
            copy: as for `execute`.
            rows_only: omit results without rows.

        Returns:
            The argument for `finish`.
        """
        answer = self._answer = Answer(self._pg.transaction_status)
        try:
            self._rows_only = rows_only
            self.send(query, copy)
        except OperationalError as error:
            self._break(answer, error)
        return answer

    async def finish(self, answer: Answer, deadline: float | None = None) -> Answer:
        """Read the whole answer to the query that `begin` sent; the deadline is as for `execute`."""
        self._deadline, self._give_up_at = None if deadline == math.inf else deadline, None
        waits = self._waits
        try:
            while self.busy:
                waits.until, waits.events = self._deadline, WRITE if self._unsent else READ
                why = await waits
                if why is READY:
                    self.pump()
                    if self._deadline is None:
                        continue
                await self._interrupt_if_due(why, answer)
        except OperationalError as error:
            self._break(answer, error)
        if self._notice_error is not None:
            notice_error, self._notice_error = self._notice_error, None
            raise notice_error
        answer.after = self._pg.transaction_status
        # libpq's status of every bad connection
        if answer.after == _UNKNOWN and answer.error is None:
            self._lost(answer, "server closed the connection unexpectedly")
        return answer

    async def _look_up(self, query: str) -> Sequence[Row]:
        """Run a query of the engine between two statements of a session."""
        answer = await self.finish(self.begin(query), time.monotonic() + PATIENCE)
        if answer.error is not None or answer.interrupted:
            raise Refused("" if answer.error is None else answer.error.message)
        return answer.rows()

    # stops and ends

    async def _interrupt_if_due(self, why: WakeReason, answer: Answer) -> None:
        """Act on a stop or the deadline, even if data came in: an endless result would hide them."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        if self.busy and (why is not READY or late):
            await self._interrupt(answer)

    async def _interrupt(self, answer: Answer) -> None:
        """Cancel the query; end the connection if the server does not react."""
        if self.ends_when_late:
            answer.interrupted = True
            self.ignore_stop()
            self._give_up()
            return
        if self._give_up_at is None:
            answer.interrupted = True
            self._give_up_at = time.monotonic() + _ANSWER_TO_CANCEL
            self.ignore_stop()
        elif time.monotonic() >= self._give_up_at:
            self._give_up()
            return
        await self.cancel(self._give_up_at - time.monotonic())
        self._deadline = min(time.monotonic() + _CANCEL_AGAIN, self._give_up_at)

    def _give_up(self) -> None:
        self.silent, self._deadline = True, None
        self.abort()

    def ignore_stop(self) -> None:
        """Ignore the stop from now on, for queries after it (a stop stays set)."""
        self._waits.stop = None

    def attach(self, stop: Stop, notice: Callable[[pq.abc.PGresult], None] | None) -> None:
        """Use the connection for another run, after `ignore_stop`."""
        self._notice, self._fatal_notice, self._waits.stop, self.ends_when_late = notice, None, stop, False

    async def cancel(self, seconds: float = CANCEL_LIMIT) -> bool:
        """Send a cancel request for this connection; see `cancel.cancel`.

        Args:
            seconds: to deliver the request.

        Returns:
            False if the server does not answer.
        """
        self.disturbed = True
        return await cancel(self._pg, seconds)

    async def end(self) -> None:
        """End the connection, and cancel the query that runs on it. Idempotent."""
        if self._pg.transaction_status == pq.TransactionStatus.ACTIVE and not self.silent:
            # after Ctrl-C: a backend notices the end of its client only when it next reads
            await self.cancel()
        self._pg.finish()

    def close(self) -> None:
        """Call `end` without a loop."""
        run_sync(self.end())

    def _break(self, answer: Answer, error: OperationalError) -> None:
        """Read the server's error from before the connection broke; libpq does not block on a bad connection."""
        self.busy = self._unsent = False
        while self._pg.status == pq.ConnStatus.BAD and (raw := self._pg.get_result()) is not None:
            if raw.status == pq.ExecStatus.FATAL_ERROR and answer.error is None:
                error_of_server = server_error(raw, lost=True)
                answer.error = error_of_server if error_of_server.from_server else None
        self._lost(answer, str(error))

    def _on_notice(self, raw: pq.abc.PGresult) -> None:
        """Handle a notice. An error that ends an idle connection comes as a notice too (libpq's pqParseInput3)."""
        if raw.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in (b"FATAL", b"PANIC"):
            self._fatal_notice = server_error(raw, lost=True)
        elif self._notice is not None:
            try:
                self._notice(raw)
            except Exception as error:
                # psycopg would only log it: `finish` raises it
                self._notice_error = self._notice_error or error

    def _lost(self, answer: Answer, message: str) -> None:
        if answer.error is None:
            answer.error = self._fatal_notice or ServerError(LOST, message.strip(), lost=True, from_server=False)

    def notifications(self) -> list[tuple[str, str]]:
        """Return the received notifications: channel and payload of each."""
        notes = self._notifies()
        return [(decoded(note.relname), decoded(note.extra)) for note in notes]

    def _notifies(self) -> list[PGnotify]:
        received = []
        with contextlib.suppress(OperationalError):  # broken: return what came before
            self._pg.consume_input()
        while (note := self._pg.notifies()) is not None:
            received.append(note)
        return received
