"""One connection of a program: each of its requests is a step, a row of the history, and a target of faults."""

from __future__ import annotations

import re
from collections.abc import Callable

from pgchaos import clock
from pgchaos.engine.answer import BLOCK, LOST, Answer
from pgchaos.engine.applications.outcomes import IDLE, answer_of
from pgchaos.engine.applications.worker import FailedTransaction, Worker
from pgchaos.engine.cancelled_by import cancelled_by
from pgchaos.engine.coordinator import Halted, SessionFailed
from pgchaos.engine.faults.actions import NotDelivered
from pgchaos.engine.faults.statement_faults import StatementFaults
from pgchaos.engine.loop import Task, begin
from pgchaos.engine.proxy.observer import ClientConnection
from pgchaos.engine.proxy.requests import Request
from pgchaos.engine.proxy.tracker import Outcome
from pgchaos.engine.waits import Condition, sleep
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Statement
from pgchaos.language.sql_comments import Source, source_of
from pgchaos.language.transaction_statements import closes_block, opens_block
from pgchaos.results import STOPPED, Record
from pgchaos.schedule.programs import Lane
from pgchaos.schedule.step_points import StepPoint
from pgchaos.schedule.transactions import EndedTransaction, TransactionAnswer, TransactionTracker, transaction_row

_WORD = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*([A-Za-z]+)", re.DOTALL)
_OF_THE_SESSION = frozenset({"SET", "RESET", "SHOW", "LISTEN", "UNLISTEN", "DEALLOCATE", "PREPARE", "DISCARD", "LOAD"})
_REPEATED = frozenset({"40001", "40P01"})  # a program repeats a transaction that failed with one of these
_BACKEND_LIMIT = 5.0  # seconds for the backend of a closed connection to end
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.02  # seconds between two checks whether it has ended
_SHOWN = 100  # characters of a parameter
_FIND = "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = "
_TERMINATE = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid = "


class ProgramConnection:
    """One connection.

    Args:
        worker: of the program.
        connection: of the proxy.
        number: of the connection in the worker, from 1.
    """

    def __init__(self, worker: Worker, connection: ClientConnection, number: int) -> None:
        self.lane = Lane(worker.actor, number)
        self._worker, self._connection, self._context = worker, connection, worker.context
        self._tracker = TransactionTracker()
        self._status = IDLE
        self._record: Record | None = None
        self._item: Statement | None = None
        self._faults: StatementFaults | None = None
        self._number = 0  # of the transaction in the worker
        self._attempt = 1
        self._later: Task[None] | None = None
        self.before_send: Callable[[], None] | None = None
        """Called just before a request is sent, if a fault waits for its answer."""
        self._answered = Condition()
        self.ending: Task[None] | None = None
        """The task that completes the closed connection."""

    # the interface for faults

    @property
    def in_block(self) -> bool:
        """Whether a transaction block is open, failed or not."""
        return self._status in BLOCK

    async def connect(self) -> None:
        """Do nothing: a program connects by itself."""

    # requests

    async def before(self, request: Request) -> None:
        """Wait until a request may be sent, or the connection has ended."""
        try:
            await self._before(request)
        except Halted:
            self._connection.end("the run was stopped")
        except SessionFailed as stopped:
            self._context.coordinator.fail(stopped.failure)
            self._connection.end("the run was stopped")

    async def _before(self, request: Request) -> None:
        self._worker.set_busy(self.lane)
        while self._record is not None and not self._connection.ended:
            # in a pipeline: whether it is in a block is known only after the answer to the request before it
            await self._await_answer()
        if self._later is not None:
            await self._later.ends()
        if self._connection.ended:
            # it would never be released
            return
        self._reconcile()
        source = source_of(request.sql)
        item = self._statement(source)
        point = StepPoint(
            self._worker.actor, item.step, self._worker.iteration, self._numbered(item), begins=not self.in_block
        )
        if self._context.transaction_log is None or self.in_block or not _is_local(item):
            what = request.sql, request.parameters
            await self._worker.coordinator.await_request(self.lane, point, item.place, what)
        # else it belongs to the next transaction, when transactions run in a serial order
        if self._connection.ended:
            return
        self._worker.pid, self._worker.place = self._connection.pid, item.place
        if self._context.network is not None:
            self._context.network.note_sending(str(self._worker.actor), self._connection)
        faults = self._worker.faults_at(item.text)
        if faults:
            self._context.coordinator.states.idle(self.lane, item.place, "waits until its fault is delivered")
            self._faults = StatementFaults(self._context.injector, faults, self._worker.actor, self, self._worker.act)
            await self._faults.before(item)
            while self._connection.is_cut_off and not self._connection.ended:
                # a fault has cut the connection off: send nothing
                await self._await_answer()
            if self.before_send is not None:
                self.before_send()
        self._send(item, request, source)

    async def _await_answer(self) -> None:
        """Wait for the next answer, or the end of the connection. Raises Halted."""
        await self._answered.wait(stop=self._context.stop)
        if self._context.stop.is_set():
            raise Halted

    def _send(self, item: Statement, request: Request, source: Source) -> None:
        actor, now = self._worker.actor, clock.now()
        record = Record(
            actor.session, actor.worker, self._worker.iteration, self._attempt, item.step, item.place, item.text
        )
        record.started_at, record.parameters = now, (*_shown(request.parameters), *source.tags)
        record.has_line = bool(source.line)
        self._record, self._item = record, item
        self._context.log.records.append(record)
        if self._connection.ended:
            # a fault before it ended the connection: it was never sent
            self._lose_unsent(record)
        else:
            self._context.coordinator.begin(self.lane, record, now)

    def _lose_unsent(self, record: Record) -> None:
        record.ended_at, record.sqlstate = record.started_at, LOST
        record.message = "the connection was lost before this was sent"
        if self._faults is not None:
            record.fault, self._faults = self._faults.description(), None
        self._record = None

    def after(self, outcome: Outcome) -> None:
        """Record the answer to the request that was sent."""
        record, item = self._record, self._item
        if record is None or item is None:
            return
        answer = answer_of(outcome, self._status)
        self._fill_record(record, outcome, answer)
        self._context.coordinator.finish(self.lane, record.ended_at or 0.0)
        log = self._context.transaction_log
        if log is not None:
            local = _is_local(item) and not self.in_block
            log.receive_step(self.lane, self._number, local, item.text, record, answer)
        self._end_transaction(item, record, answer, outcome)
        self._record = None
        if not self.in_block:
            self._worker.set_idle(self.lane)
        self._answered.notify()
        if self._faults is None:
            self._worker.coordinator.answered(self.lane)
        else:
            faults, self._faults = self._faults, None
            self._later = begin(self._deliver_after(faults, answer, record))

    def _fill_record(self, record: Record, outcome: Outcome, answer: Answer) -> None:
        context, error = self._context, answer.error
        record.ended_at = clock.now()
        record.sqlstate, record.tag, record.rows = outcome.sqlstate, outcome.tag or None, outcome.rows
        if self._context.log.keeps_rows and answer.results and answer.results[-1].width:
            record.cells = answer.results[-1].first_rows()
        if error is None:
            return
        states = context.coordinator.states
        states.note_deadlock(self._connection.pid, record, error)
        answer.error = error = states.with_names(error)
        record.message, record.hint = error.message, error.hint
        if outcome.skipped:
            record.skipped, record.sqlstate = True, None
        elif context.stop.is_set() and outcome.lost:
            record.message = STOPPED
        record.ended_by = cancelled_by(record, error.message, context.log.records, context.log.acts)

    async def _deliver_after(self, faults: StatementFaults, answer: Answer, record: Record) -> None:
        try:
            await faults.after(answer)
        except Halted:
            pass  # the run reports why
        except SessionFailed as stopped:
            self._context.coordinator.fail(stopped.failure)
        finally:
            record.fault = faults.description()
            self._worker.coordinator.answered(self.lane)

    # transactions

    def _numbered(self, item: Statement) -> int:
        """Return the number of the statement's transaction; a local one has the number of the next transaction."""
        if not self.in_block:
            worker, local = self._worker, _is_local(item)
            again = None if local else worker.begin_again(self.lane)
            self._number, self._attempt = worker.transactions, 1
            if again is not None:
                self._number, self._attempt = again.number, again.attempts + 1
            elif not local:
                worker.transactions += 1
        return self._number

    def _end_transaction(self, item: Statement, record: Record, answer: Answer, outcome: Outcome) -> None:
        error, before = answer.error, self._status
        self._status = answer.after
        ended = self._tracker.add(
            TransactionAnswer(
                before in BLOCK,
                self._status in BLOCK,
                tuple(outcome.tags),
                None if error is None else error.sqlstate,
                error is not None and error.lost,
                error is None or error.from_server,
                closes=closes_block(item.verb, item.text),
                opens=opens_block(item.verb, item.text),
            )
        )
        if ended is not None:
            self._add(ended, record)

    def _add(self, ended: EndedTransaction, record: Record) -> None:
        row = transaction_row(ended, record)
        self._context.log.transactions.append(row)
        if self._context.transaction_log is not None:
            self._context.transaction_log.end(self.lane, row)
        if ended.outcome == "rolled back" and ended.sqlstate in _REPEATED:
            self._worker.fail(self.lane, FailedTransaction(self._number, self._attempt))

    def _reconcile(self) -> None:
        """Record the end of a transaction that a separate Sync at the end of a pipeline has committed."""
        if self.in_block and not self._connection.outstanding and self._connection.status == "I":
            self._close_transaction(("COMMIT",))

    def _close_transaction(self, tags: tuple[str, ...]) -> None:
        self._status = IDLE
        ended = self._tracker.add(TransactionAnswer(True, False, tags, closes=True))
        last = next((r for r in reversed(self._context.log.records) if self._is_own(r)), None)
        if ended is not None and last is not None:
            self._add(ended, last)

    def _is_own(self, record: Record) -> bool:
        return (record.session, record.worker) == self._worker.actor

    # the end

    def closed(self) -> None:
        """Record that it was closed; it counts until its backend has released its locks."""
        if self._worker.pid == self._connection.pid:
            self._worker.pid = None
        self._worker.set_idle(self.lane)
        self._worker.coordinator.closing(self.lane)
        self._answered.notify()
        self.ending = begin(self._end())

    async def _end(self) -> None:
        if self._faults is not None:
            await self._faults.abandon()
            self._faults = None
        if self._later is not None:
            await self._later.ends()
        self._reconcile()
        if self.in_block:
            self._close_transaction(("ROLLBACK",))
        await self._await_backend()
        self._context.coordinator.states.idle(self.lane, self._worker.place, "has disconnected")
        self._worker.coordinator.disconnected(self.lane)

    async def _await_backend(self) -> None:
        pid, waited, pause = self._connection.pid, 0.0, _FIRST_PAUSE
        query = _FIND + str(pid)
        why = f"within {_BACKEND_LIMIT:g} s"
        try:
            while await self._context.injector.fault_connection.ask(query):
                if waited >= _BACKEND_LIMIT:
                    break
                await sleep(pause)
                waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE)
                if pause == _LONGEST_PAUSE:
                    # a backend notices the end of its client only when it next reads
                    query = _TERMINATE + str(pid)
            else:
                return
        except NotDelivered as refused:
            why = f"as the server says: {refused}"
        if not self._context.stop.is_set():
            text = f"{self._worker.actor}: its backend {pid} was not seen to end, and may keep its locks, {why}"
            self._context.log.remarks.append(f"{text} ({self._worker.place})")

    def _statement(self, source: Source) -> Statement:
        word = _WORD.match(source.statement)
        place = Place(source.file, source.line) if source.line else self._worker.program.place
        text = source.statement or "(a function call of the protocol)"
        return Statement(place, text, (text,), word[1].upper() if word else "", self._worker.next_step())


def _is_local(item: Statement) -> bool:
    """Whether a statement outside a block concerns its session only."""
    return item.verb in _OF_THE_SESSION and ";" not in item.text


def _shown(parameters: tuple[str | None, ...]) -> list[str]:
    """Format the parameters of a request."""
    return [
        f"${number} = {'NULL' if value is None else repr(value if len(value) <= _SHOWN else value[:_SHOWN] + '…')}"
        for number, value in enumerate(parameters, 1)
    ]
