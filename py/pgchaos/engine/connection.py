"""One connection on libpq, whose every wait can be cancelled.

The loop is libpq's own (PostgreSQL docs, "Asynchronous Command Processing"): send, flush, wait for the socket,
consume, and take a result only when it is there. `PQgetResult` while busy, and `PQcancel`, would hold up all others.
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
from pgchaos.engine.connect import ConnectionLost, connected
from pgchaos.engine.created import Created, Refused, note_created
from pgchaos.engine.loop import alone
from pgchaos.engine.query_exchange import READ, WRITE, QueryExchange
from pgchaos.engine.waits import READY, Wait, Why, has_ended
from pgchaos.stop import Stop

__all__ = ["PATIENCE", "Connection", "ConnectionLost"]

_ANSWER_TO_CANCEL = 2.5
"""Seconds a server has to answer a cancel before its socket is shut down."""
_CANCEL_AGAIN = 0.2
"""Seconds after which it is sent again: one that comes before the query has begun is ignored (ProcessInterrupts)."""
PATIENCE = 10.0
"""Seconds for what takes none on a server that answers."""
_UNKNOWN = int(pq.TransactionStatus.UNKNOWN)

L = TypeVar("L", bound="Connection")


class Connection(QueryExchange):
    """A connection: `open` makes one.

    Args:
        pg: libpq's, connected.
        stop: ends every wait on it, until `deafen`; None: none does.
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
        self._given_up: float | None = None
        self._farewell: ServerError | None = None
        self._broke: Exception | None = None
        self.silent = False
        """The server did not even answer a cancel in time."""
        self.limit = math.inf
        """Seconds for a question of the engine's own, whatever that may take by itself; see `within`."""
        self.ends_when_late = False
        """What is late is not cancelled: the connection is ended at once."""
        self.settings: tuple[bool, bool] | None = None  # what `LockMonitor.settings` was told by it
        self.prepared: dict[str, str] = {}
        """What executes questions of the engine's own that were prepared here, by their text."""
        self.created: Created | None = None
        """What the sessions of the run created, on a server that is not ours."""

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
            stop: ends every wait on it.
            notice: called with each notice of the server.
            seconds: to connect in.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        return cls(await connected(conninfo, stop, seconds), stop, notice)

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
        parameters = {
            "DBNAME": pg.db,
            "USER": pg.user,
            "HOST": pg.host,
            "PORT": pg.port,
            "ENCODING": pg.parameter_status(b"client_encoding") or b"UTF8",
            "SERVER_VERSION_NAME": pg.parameter_status(b"server_version") or b"",
        }
        number = {"SERVER_VERSION_NUM": str(pg.server_version)}
        return number | {name: value.decode("utf-8", "replace") for name, value in parameters.items()}

    def within(self, seconds: float) -> float:
        """Give the deadline of a question of the engine's own, which takes no longer than the scenario may."""
        return time.monotonic() + min(seconds, self.limit)

    @property
    def alive(self) -> bool:
        """Say whether the connection stands, as far as libpq knows."""
        return self._pg.status == pq.ConnStatus.OK

    def has_ended(self) -> bool:
        """Whether the other end has closed it, by what the kernel knows; nothing is read."""
        return not self.alive or has_ended(self._pg.socket)

    def is_usable(self) -> bool:
        """Say whether it can be asked something, by what has come in; the server itself is not asked."""
        with contextlib.suppress(OperationalError):
            self._pg.consume_input()
            self._pg.is_busy()  # reads what is there: the server's last words come before the end of the connection
        return self.alive and self._farewell is None and self.status != pq.TransactionStatus.ACTIVE

    def lost_before(self) -> ServerError | None:
        """Say that the connection has ended without a word, so that nothing sent now reaches the server."""
        if self.is_usable() or self._farewell is not None or self.alive:
            return None
        message = "the connection was lost before this was sent"
        return ServerError(LOST, message, lost=True, said=False, sent=False)

    # one query and its answer

    def execute(
        self, query: str, copy: str | None = None, deadline: float | None = None
    ) -> Coroutine[Any, Any, Answer]:
        """Send a query by the simple protocol; what is returned takes all of its answer and is to be awaited at once.

        Args:
            query: what psql would send.
            copy: data for COPY … FROM STDIN.
            deadline: on `time.monotonic()`; then the query is cancelled. None or infinity: when the run stops.

        Returns:
            The answer; an error is in it and never raised.
        """
        # no coroutine of its own, which each statement would have to go through
        taken = self.finish(self.begin(query, copy), deadline)
        return taken if self.created is None else self._with_created(self.created, query, taken)

    async def _with_created(self, created: Created, query: str, taken: Coroutine[Any, Any, Answer]) -> Answer:
        answer = await taken
        await note_created(created, query, answer, self._look_up)
        return answer

    def ask(self, query: str, copy: str | None = None, deadline: float | None = None) -> Answer:
        """Do what `execute` does where nothing else goes on meanwhile."""
        return alone(self.execute(query, copy, deadline))

    def ask_own(self, query: str, deadline: float, *, last: bool = False) -> Answer:  # noqa: ARG002  # of those that are kept
        """Ask a question of the engine's own; `last`: nothing is asked after it."""
        return alone(self.finish(self.begin(query), deadline))

    def rows(self, query: str, deadline: float) -> list[Row]:
        """Ask for rows where nothing else goes on meanwhile.

        Args:
            query: one or more; their rows come one after the other.
            deadline: as for `execute`.

        Raises:
            ConnectionLost: the server refused.
        """
        answer = self.ask(query, deadline=deadline)
        if answer.error is not None:
            raise ConnectionLost(answer.error)
        return answer.rows()

    def begin(self, query: str, copy: str | None = None, *, rows_only: bool = False) -> Answer:
        """Send a query and do not wait for its answer; nothing else may be asked before `finish` was called.

        Args:
            query: as for `execute`.
            copy: as for `execute`.
            rows_only: leave the results without rows out of the answer.

        Returns:
            What `finish` takes.
        """
        answer = self._answer = Answer(self._pg.transaction_status)
        try:
            self._rows_only = rows_only
            self.send(query, copy)
        except OperationalError as error:
            self._break(answer, error)
        return answer

    async def finish(self, answer: Answer, deadline: float | None = None) -> Answer:
        """Take the whole answer to what `begin` has begun; the deadline is as for `execute`."""
        self._deadline, self._given_up = None if deadline == math.inf else deadline, None
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
        if self._broke is not None:
            broke, self._broke = self._broke, None
            raise broke
        answer.after = self._pg.transaction_status
        # which libpq says of every connection that is bad
        if answer.after == _UNKNOWN and answer.error is None:
            self._lost(answer, "server closed the connection unexpectedly")
        return answer

    async def _look_up(self, query: str) -> Sequence[Row]:
        """Ask something of the engine's own, between two statements of a session."""
        answer = await self.finish(self.begin(query), time.monotonic() + PATIENCE)
        if answer.error is not None or answer.interrupted:
            raise Refused("" if answer.error is None else answer.error.message)
        return answer.rows()

    # stops and ends

    async def _interrupt_if_due(self, why: Why, answer: Answer) -> None:
        """Act on a stop or the deadline, also where data came in: a result without end would hide them."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        if self.busy and (why is not READY or late):
            await self._interrupt(answer)

    async def _interrupt(self, answer: Answer) -> None:
        """Cancel what runs; when the server does not answer that either, end the connection."""
        if self.ends_when_late:
            answer.interrupted = True
            self.deafen()
            self._give_up()
            return
        if self._given_up is None:
            answer.interrupted = True
            self._given_up = time.monotonic() + _ANSWER_TO_CANCEL
            self.deafen()
        elif time.monotonic() >= self._given_up:
            self._give_up()
            return
        await self.cancel(self._given_up - time.monotonic())
        self._deadline = min(time.monotonic() + _CANCEL_AGAIN, self._given_up)

    def _give_up(self) -> None:
        self.silent, self._deadline = True, None
        self.abort()

    def deafen(self) -> None:
        """Ignore the stop from now on: for what is still to be said after it (a stop stays set for ever)."""
        self._waits.stop = None

    def attach(self, stop: Stop, notice: Callable[[pq.abc.PGresult], None] | None) -> None:
        """Serve another run, after `deafen`."""
        self._notice, self._farewell, self._waits.stop, self.ends_when_late = notice, None, stop, False

    async def cancel(self, seconds: float = CANCEL_LIMIT) -> bool:
        """Ask the server to cancel what runs here, and no error when it cannot be asked.

        Args:
            seconds: to get that through.

        Returns:
            False where the server does not answer.
        """
        self.disturbed = True
        return await cancel(self._pg, seconds)

    async def end(self) -> None:
        """End the connection, and what still runs on it; doing so again does nothing."""
        if self._pg.transaction_status == pq.TransactionStatus.ACTIVE and not self.silent:
            # Ctrl-C came between: a backend notices the end of its client only when it next reads
            await self.cancel()
        self._pg.finish()

    def close(self) -> None:
        """Do what `end` does where nothing else goes on meanwhile."""
        alone(self.end())

    def _break(self, answer: Answer, error: OperationalError) -> None:
        """Take what the server said before the connection broke; libpq does not wait on a connection that is bad."""
        self.busy = self._unsent = False
        while self._pg.status == pq.ConnStatus.BAD and (raw := self._pg.get_result()) is not None:
            if raw.status == pq.ExecStatus.FATAL_ERROR and answer.error is None:
                said = server_error(raw, lost=True)
                answer.error = said if said.said else None
        self._lost(answer, str(error))

    def _on_notice(self, raw: pq.abc.PGresult) -> None:
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
        notes = self._notifies()
        return [(note.relname.decode("utf-8", "replace"), note.extra.decode("utf-8", "replace")) for note in notes]

    def _notifies(self) -> list[PGnotify]:
        came = []
        with contextlib.suppress(OperationalError):  # broken: what came before is told
            self._pg.consume_input()
        while (note := self._pg.notifies()) is not None:
            came.append(note)
        return came
