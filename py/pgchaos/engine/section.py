"""Setup, teardown, check and plain pgTAP files: runs items in order on one connection, up to the first error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from psycopg import pq

from pgchaos.engine.answer import RESETS_SETTINGS, Answer
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import SILENT, SILENT_LIMIT, ConnectionFactory
from pgchaos.engine.error_messages import StatementContext, error_failure, plain_failure
from pgchaos.engine.interpreter import Interpreter, Quit, Rejected
from pgchaos.engine.loop import run_sync
from pgchaos.engine.notices import NoticeCollector, vars_literal
from pgchaos.engine.psql_catalog import look_up
from pgchaos.engine.psql_output import PsqlOutput
from pgchaos.engine.psql_variables import not_here
from pgchaos.language.meta_commands import LOOKUPS, PRINTING
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Item, Meta, Send, Statement
from pgchaos.language.transaction_statements import begins_none
from pgchaos.results import Failure
from pgchaos.stop import Stop

OnLine = Callable[[str, Place], None]
Done = Callable[[Statement, Answer, bool], None]
"""Called with a statement as it was sent, its answer, and whether `gexec` generated it."""
_SAVEPOINT = "pg_psql_temporary_savepoint"  # psql's own name for it
_OF_SAVEPOINTS = frozenset(("SAVEPOINT", "RELEASE", "ROLLBACK"))


class Section:
    """A connection that runs sections.

    Args:
        factory: to the scenario's database.
        who: the section's name in messages.
        stop: ends every wait.
        notices: receives notices and output.
        pids: its backend is added.
        variables: of the matrix; variables that the section sets are kept for the next `run`.
        seed: of everything random.
        on_line: called with each line that psql -At would print, and the place of its statement.
        done: called for each executed statement, after `on_line` for its lines.
        plain: a plain pgTAP file, executed as psql does.
    """

    def __init__(
        self,
        factory: ConnectionFactory,
        who: str,
        stop: Stop,
        notices: NoticeCollector,
        pids: set[int],
        variables: Mapping[str, str],
        seed: int,
        on_line: OnLine | None = None,
        done: Done | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self._factory, self._settings = factory, {"chaos.seed": str(seed)}
        if who == "check":
            self._settings.update(factory.sandbox.check_settings)
        self._name, self._stop, self._notices, self._pids, self._on_line = who, stop, notices, pids, on_line
        self.who = who
        """Its name in messages."""
        self._done = done
        self._state = Interpreter(variables, self._echo, as_psql=plain, warn=notices.say)
        self._sent_variables: dict[str, str] | None = None
        self.connection: Connection | None = None
        """The open connection."""
        self._unverified = self._unreleased = False
        self._place: Place | None = None
        self._about: StatementContext | None = None
        self._begun: Answer | None = None
        self._deadline = 0.0
        self.hides = False  # output is hidden by \o /dev/null
        self._to_stderr = False  # psql echoes to stderr, which pg_prove does not read
        self._partial_line = ""  # by \echo -n
        self.output = PsqlOutput()

    def run(self, items: Iterable[Item], seconds: float) -> Failure | None:
        """Run items in order, all within some seconds; return the failure that stopped it, or None."""
        self._deadline, self._about = time.monotonic() + seconds, None
        items = tuple(items)
        if not items:
            return None
        try:
            self._connected()
            for item in items:
                failure = self._perform(item, seconds)
                if failure is not None:
                    return failure
        except ConnectionLost as refused:
            return error_failure(refused.error, None, self.who)
        except Rejected as wrong:
            return plain_failure(str(wrong), wrong.place or self._place, self.who, wrong.hint)
        except Quit:
            pass  # the rest is not run
        finally:
            if self._partial_line and self._place is not None:
                self._print("", self._place)
        return None

    def configure_ahead(self) -> None:
        """Start to configure its connection, which will be used soon."""
        self._factory.configure_ahead(self._name, self._settings)

    def connect(self) -> None:
        """Connect."""
        with contextlib.suppress(ConnectionLost):  # `run` connects again, and reports it
            self._connected()

    def begin(self, query: str) -> None:
        """Send a query of the engine ahead; the next `ask` is for the same query and reads its answer."""
        # an error here occurs there again, and is reported then
        with contextlib.suppress(ConnectionLost):
            self._begun = self._connected().begin(query)

    def _take_answer(self) -> Answer | None:
        """Read the answer to the query that `begin` sent; None if there was none, or it must be sent again."""
        begun, self._begun = self._begun, None
        if begun is None or self.connection is None:
            return None
        answer = run_sync(self.connection.finish(begun, self._deadline))
        if answer.error is None and not answer.interrupted and self.connection.is_usable():
            return answer
        self._unverified = True  # the sessions may have ended this connection, or the server, since
        return None

    def ask(self, query: str, place: Place | None, seconds: float, *, last: bool = False) -> Failure | None:
        """Send a query of ours, the `last` or not, and read its rows; return a failure or None."""
        self._place, self._about, self._deadline = place, None, time.monotonic() + seconds
        try:
            answer = self._take_answer() or self._connected().ask_own(query, self._deadline, last=last)
            return self._after(answer, place, seconds)
        except ConnectionLost as refused:
            return error_failure(refused.error, place, self.who)

    def _connected(self) -> Connection:
        """Return the connection; connect if there is none, or a crash between two sections ended it."""
        known = self.connection is not None and self.connection.silent
        if self.connection is not None and self._unverified and not self._answers(self.connection):
            silent = self.connection.silent and not known
            self.close()
            if silent:
                self._factory.note_second_silence()
                raise ConnectionLost(SILENT)
        if self.connection is None:
            self.adopt(
                run_sync(self._factory.open(self._name, self._stop, self._settings, self.notice, while_recovering=True))
            )
        assert self.connection is not None, "adopted just now"
        self._unverified = False
        return self.connection

    def _answers(self, connection: Connection) -> bool:
        deadline = self._deadline
        if self._factory.silent:
            connection.ends_when_late, deadline = True, min(deadline, time.monotonic() + SILENT_LIMIT)
        answered = connection.ask("", deadline=deadline).error is None
        connection.ends_when_late = False
        return answered

    def verify_before_use(self) -> None:
        """Verify the connection before its next use: the server may have crashed meanwhile."""
        self._unverified = True

    def adopt(self, connection: Connection) -> None:
        """Use a connection."""
        self.connection, self._sent_variables, self._unverified, self._unreleased = connection, None, False, False
        self._state.psql.connected(connection)
        self._pids.add(connection.pid)

    @property
    def in_block(self) -> bool:
        """Whether it left a transaction open."""
        return self.connection is not None and self.connection.in_block

    @property
    def did_nothing(self) -> bool:
        """Whether the last `run` sent no statement."""
        return self._about is None

    @property
    def place(self) -> Place | None:
        """The last statement or meta-command."""
        return self._place

    def close(self) -> None:
        """End the connection."""
        self._deadline = time.monotonic() + self._factory.patience
        if self.connection is not None:
            self.connection.ends_when_late = True
            self._take_answer()
            self.connection.ends_when_late = False
            self.connection.close()
            self.connection = None

    def notice(self, raw: pq.abc.PGresult) -> None:
        """Record a notice of the server."""
        self._notices.receive(self.who, self._place, raw)

    def _perform(self, item: Item, seconds: float) -> Failure | None:
        self._place = item.place
        if isinstance(item, Meta):
            with self._state.tolerating(item):
                self._meta(item)
        elif isinstance(item, Statement) and self._state.branches.active():
            assert self.connection is not None, "connected before the first item"
            return self._statement(self.connection, item, seconds)
        return None

    def _meta(self, item: Meta) -> None:
        if item.name not in {"o", "c", *PRINTING, *LOOKUPS}:
            self._to_stderr = item.name == "warn" or (item.name == "qecho" and self.hides)
            self._state.meta(item)
        elif not self._state.branches.active():
            return
        elif item.name in {*PRINTING, *LOOKUPS}:
            words = self._state.evaluate(item)
            try:
                if item.name in PRINTING:
                    self.output.command(item.name, words, item.place)
                elif self._state.is_on("ON_ERROR_STOP"):
                    look_up(item.name, words, self._connected(), self._deadline)
            except ValueError as error:
                raise Rejected(str(error)) from None
        elif item.name == "o":
            self.hides = bool(item.args)
        else:
            wrong = not_here(self._state.evaluate(item), self._state.psql)
            if wrong:
                raise Rejected(wrong)
            self.close()
            self._connected()

    def _statement(self, connection: Connection, item: Statement, seconds: float) -> Failure | None:
        self._about = self._state.about(item)
        self._send_variables(connection)
        *before, last = self._state.texts(item)
        for text in before:
            failure = self._after(self._send(connection, text), item.place, seconds)
            if failure is not None:
                return failure
        answer = self._send(connection, last, item.copy)
        if not RESETS_SETTINGS.isdisjoint(result.tag for result in answer.results):
            self._sent_variables = None
        failure = self._after(answer, item.place, seconds, item.send)
        if failure is not None or answer.error is not None:
            return failure
        generated = None
        with self._state.tolerating(item):
            generated = self._state.take(item, answer)
        if generated is None:
            return None
        for text in generated:
            made = self._send(connection, text)
            failure = self._after(made, item.place, seconds)
            if failure is not None:
                return failure
            if self._done is not None and made.error is None:
                self._done(replace(item, text=text, verb="", send=Send.PLAIN), made, True)
        if self._done is not None:
            sent = "; ".join((*before, last))
            self._done(item if sent == item.text else replace(item, text=sent), answer, False)
        return None

    def _send(self, connection: Connection, text: str, copy: str | None = None) -> Answer:
        """Send a statement of the file, with AUTOCOMMIT and ON_ERROR_ROLLBACK as psql's SendQuery does."""
        for line in self._state.echoed(text):
            assert self._place is not None, "set before a statement is sent"
            self._print(line, self._place)
        idle = connection.status == pq.TransactionStatus.IDLE
        if idle and not self._state.is_on("AUTOCOMMIT") and not begins_none(text):
            connection.ask_own("BEGIN", self._deadline)
        in_transaction = connection.status == pq.TransactionStatus.INTRANS
        saved = in_transaction and self._state.is_on("ON_ERROR_ROLLBACK")
        # psql releases it at once; here the next message does so too, which no statement can observe
        release = f"RELEASE {_SAVEPOINT}; " if in_transaction and self._unreleased else ""
        self._unreleased = False
        if before := release + f"SAVEPOINT {_SAVEPOINT}" * saved:
            connection.ask_own(before, self._deadline)
        answer = connection.ask(text, copy, self._deadline)
        if saved and connection.status == pq.TransactionStatus.INERROR:
            connection.ask_own(f"ROLLBACK TO {_SAVEPOINT}", self._deadline)
        elif saved and connection.status == pq.TransactionStatus.INTRANS and answer.tag not in _OF_SAVEPOINTS:
            self._unreleased = True
        self._state.psql.answered(answer)
        return answer

    def _send_variables(self, connection: Connection) -> None:
        """Send changed variables to the server, for chaos.var."""
        if self._state.variables and self._sent_variables != self._state.variables:
            if connection.status != pq.TransactionStatus.INERROR:
                literal = vars_literal(self._state.variables, any_bytes=connection.any_bytes)
                connection.ask_own(f"SET chaos.vars = {literal}", self._deadline)
            self._sent_variables = dict(self._state.variables)

    def _echo(self, text: str) -> None:
        line = text.removesuffix("\n")
        self._notices.say(f"{self.who}: {line}")
        if self._place is None or self._to_stderr:
            return
        if line == text:
            self._partial_line += line
        else:
            self._print(line, self._place)

    def _print(self, line: str, place: Place) -> None:
        r"""Report a line, after the output of an \echo -n before it."""
        line, self._partial_line = self._partial_line + line, ""
        if self._on_line is not None:
            self._on_line(line, place)

    def _after(self, answer: Answer, place: Place | None, seconds: float, send: Send = Send.PLAIN) -> Failure | None:
        if answer.interrupted:
            if self.connection is not None and self.connection.silent:
                self._factory.note_silence()
            text = f"{self.who} was stopped: it did not end within {seconds:g}s"
            if self._stop.is_set():
                text = f"{self.who} was stopped with the run"
            return Failure("timeout", (), text, place, session=self.who)
        if self._on_line is not None and place is not None:
            self._read(answer, place, send)
        for line in answer.copied:
            self._notices.say(f"{self.who}: {line}")
        if answer.error is None:
            return None
        failure = error_failure(answer.error, place, self.who, self._about)
        if answer.error.lost or self._state.is_on("ON_ERROR_STOP"):
            return failure
        self._notices.say(f"{failure.place}: {failure.text} (ON_ERROR_STOP is off)")
        return None

    def _read(self, answer: Answer, place: Place, send: Send) -> None:
        r"""Report what psql would print: not the result for \gset or \gexec, but the data of COPY … TO STDOUT."""
        if self.hides or send is Send.HIDDEN:
            return
        for result in self._state.printed(answer, send):
            for line in self.output.lines(result, expanded=send is Send.EXPANDED):
                self._print(line, place)
        for line in answer.copied:
            self._print(line, place)
