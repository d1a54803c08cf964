"""Sends a session's statements to the server and records their outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from psycopg import pq

from pgchaos import clock
from pgchaos.engine.answer import BLOCK, RESETS_SETTINGS, SUCCESS, Answer
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import SILENT_LIMIT
from pgchaos.engine.notices import session_settings, vars_literal
from pgchaos.engine.psql_variables import PsqlVariables
from pgchaos.engine.run_context import RunContext
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Statement
from pgchaos.language.transaction_statements import closes_block, opens_block
from pgchaos.results import STOPPED, Notification, Record, Transaction
from pgchaos.schedule.transactions import EndedTransaction, TransactionAnswer, TransactionTracker, transaction_row
from pgchaos.schedule.wait_rules import Actor

# plain numbers: they are compared for every statement
_IN_BLOCK, _UNKNOWN = int(pq.TransactionStatus.INTRANS), int(pq.TransactionStatus.UNKNOWN)
_SOON = "'1ms'"
_SHORT = 10.0
"""Seconds for a query that is immediate on a server that answers."""


class SessionConnection:
    """The connection of one session; it is opened again when it is needed after a loss."""

    def __init__(self, context: RunContext, actor: Actor, parameters: Mapping[str, str]) -> None:
        self._context, self._actor, self._parameters = context, actor, parameters
        self.before_send: Callable[[], None] | None = None
        """Called once, just before the next statement is sent."""
        # there is nothing to do before a statement
        self._asks_only = not (context.needs_vars or context.may_lose_connection or context.sets_deadlock_timeout)
        self._connection: Connection | None = None
        self._tracker = TransactionTracker()
        self._sent_variables: tuple[int, str] | None = None
        self._record: Record | None = None
        self._ended: Transaction | None = None
        self._is_victim = False
        self._was_superuser = False  # when it connected
        self.psql = PsqlVariables()
        self.be_deadlock_victim = False
        """The next statement may cause a deadlock: make its session the victim."""
        self.unknown = False
        """It is unknown whether the last statement's transaction has committed: the connection was lost."""

    async def connect(self) -> Connection:
        """Open the connection, unless it is open.

        Raises:
            ConnectionLost: the server refused.
        """
        if self._connection is not None and self._connection.alive:
            return self._connection
        self._context.coordinator.states.leave(self._actor)
        while_recovering = self._connection is not None and await self._context.injector.outage.await_server()
        await self.close()
        actor = self._actor
        settings = session_settings(actor.session, actor.worker, self._context.seed)
        patience = 0.0 if self._context.injector.fault_connection.full else None
        if self._context.network is not None:
            open_session = self._context.network.open
            connection = await open_session(
                actor, settings, self._parameters, self._on_notice, while_recovering=while_recovering
            )
        elif self._context.pool is not None:
            limit = self._context.factory.connect_limit
            connection = await self._context.pool.open(str(actor), self._context.stop, self._on_notice, limit)
        else:
            connection = await self._context.factory.open(
                str(actor),
                self._context.stop,
                settings,
                self._on_notice,
                while_recovering=while_recovering,
                patience=patience,
            )
        self._connection, self._sent_variables, self._is_victim = connection, None, False
        self._was_superuser = connection.is_superuser
        self._context.pids.add(connection.pid)
        self._context.coordinator.states.join(actor, connection.pid)
        self.psql.connected(connection)
        return connection

    def _on_notice(self, raw: pq.abc.PGresult) -> None:
        self._context.notices.receive(str(self._actor), self._record.place if self._record else None, raw)

    @property
    def in_block(self) -> bool:
        """Whether a transaction block is open, failed or not."""
        return self._connection is not None and self._connection.in_block

    @property
    def pid(self) -> int | None:
        """The pid of the backend; None if there is no connection."""
        return self._connection.pid if self._connection is not None and self._connection.alive else None

    def loss(self) -> Callable[[], bool]:
        """Return a function that tells whether the peer has closed the current connection, as the kernel reports."""
        connection = self._connection
        return lambda: connection is None or connection.has_ended()

    def disturb(self) -> None:
        """Record that the connection is cancelled from outside: no other scenario may get it."""
        if self._connection is not None:
            self._connection.disturbed = True

    async def execute(self, item: Statement, text: str, record: Record, variables: Mapping[str, str]) -> Answer:
        """Send a statement and return its answer, which has the error; fill its record, and add it to the log."""
        context, coordinator = self._context, self._context.coordinator
        self._record = record
        record.started_at = now = clock.now()
        context.log.records.append(record)
        coordinator.begin(self._actor, record, now)
        connection = self._connection
        if self._asks_only and connection is not None and connection.alive:
            # the fast path of most statements
            answer = await connection.execute(text, item.copy)
        else:
            answer = await self._ask(text, item.copy, record.iteration, variables)
        if answer.error is not None:
            states = coordinator.states
            if answer.error.lost:
                states.leave(self._actor)
            if self._connection is not None:
                if self._connection.silent:
                    context.factory.note_silence()
                states.note_deadlock(self._connection.pid, record, answer.error)
            answer.error = states.with_names(answer.error)
        record.ended_at = now = clock.now()
        coordinator.finish(self._actor, now)
        self.psql.answered(answer)
        self._note(record, answer)
        if context.transaction_log is not None:
            context.transaction_log.receive(self._actor, item, text, record, answer)
        self._after(item, answer, record)
        return answer

    def _note(self, record: Record, answer: Answer) -> None:
        error = answer.error
        if error is None:
            record.sqlstate = SUCCESS
            if answer.results:
                last = answer.results[-1]
                record.tag, record.rows = last.tag, last.count
                if self._context.log.keeps_rows and last.width:
                    record.cells = last.first_rows()
            return
        record.sqlstate, record.message, record.hint = error.sqlstate, error.message, error.hint
        if answer.interrupted:
            record.message = STOPPED

    async def _ask(self, text: str, copy: str | None, iteration: int, variables: Mapping[str, str]) -> Answer:
        context, connection = self._context, self._connection
        if connection is None or not connection.alive:
            try:
                connection = await self.connect()
            except ConnectionLost as refused:
                return Answer(_UNKNOWN, _UNKNOWN, error=refused.error, interrupted=context.stop.is_set())
        before = connection.status
        # in a block the loss is known to undo it; at COMMIT an application could not know whether it was sent
        lost = connection.lost_before() if context.may_lose_connection and before not in BLOCK else None
        if lost is not None:
            return Answer(before, _UNKNOWN, error=lost)
        answer = None
        if context.needs_vars:
            answer = await self._send_variables(connection, iteration, variables)
        if answer is None and self.be_deadlock_victim != self._is_victim:
            answer = await self._set_deadlock_timeout(connection)
        if answer is None:
            if self.before_send is not None:
                self.before_send()
            answer = await connection.execute(text, copy)
        return answer

    async def _send_variables(
        self, connection: Connection, iteration: int, variables: Mapping[str, str]
    ) -> Answer | None:
        """Send the iteration and the variables to the server if they have changed; return the answer if it failed.

        SET takes no snapshot, so it may precede the first query of a repeatable read transaction.
        """
        if connection.status == pq.TransactionStatus.INERROR:
            return None
        now = (iteration, vars_literal(variables, any_bytes=connection.any_bytes))
        if now == self._sent_variables:
            return None
        answer = await connection.execute(f"SET chaos.iteration = '{iteration}'; SET chaos.vars = {now[1]}")
        self._sent_variables = now
        return answer if answer.error is not None or answer.interrupted else None

    async def _set_deadlock_timeout(self, connection: Connection) -> Answer | None:
        """Let the server look for a deadlock soon, or as late as by default.

        deadlock_timeout begins with a wait, and a backend looks once (proc.c, ProcSleep). With a short one, the session
        that closes the cycle is the victim: the others have looked before the cycle existed, or will look later.
        """
        if not self._context.sets_deadlock_timeout or connection.status == pq.TransactionStatus.INERROR:
            return None
        if self._was_superuser and not connection.is_superuser:
            return None  # after SET ROLE it may not, and the error would end the scenario's transaction
        answer = await connection.execute(f"SET deadlock_timeout = {_SOON if self.be_deadlock_victim else 'DEFAULT'}")
        self._is_victim = self.be_deadlock_victim
        return answer if answer.error is not None or answer.interrupted else None

    def _after(self, item: Statement, answer: Answer, record: Record) -> None:
        error, results = answer.error, answer.results
        tags = (results[0].tag,) if len(results) == 1 else tuple([result.tag for result in results])
        closes = closes_block(item.verb, item.text)
        if error is None and not closes and answer.after == _IN_BLOCK and RESETS_SETTINGS.isdisjoint(tags):
            # the fast path of most statements
            self.unknown = False
            self._tracker.continue_block()
            if self._context.uses_listen:
                self.take_notifications()
            return
        transaction_answer = TransactionAnswer(
            answer.before in BLOCK,
            answer.after in BLOCK,
            tags,
            error.sqlstate if error else None,
            error is not None and error.lost,
            error is None or error.from_server,
            error is None or error.sent,
            closes,
            opens_block(item.verb, item.text),
        )
        ended = self._tracker.add(transaction_answer)
        self.unknown = error is not None and ended is not None and ended.outcome == "unknown"
        if ended is not None:
            self._end(ended, record)
        if error is not None or not RESETS_SETTINGS.isdisjoint(tags):
            # a rollback restores the settings from before the transaction
            self._sent_variables, self._is_victim = None, False
        self.take_notifications()

    def _end(self, ended: EndedTransaction, record: Record) -> None:
        row = transaction_row(ended, record)
        self._ended = row
        self._context.log.transactions.append(row)
        if self._context.transaction_log is not None:
            self._context.transaction_log.end(self._actor, row)

    def note_variables(self, variables: Mapping[str, str]) -> None:
        r"""Record the variables, those of its `\gset` too, of the transaction that has just ended, if one has."""
        if self._ended is not None:
            self._ended.variables.update(variables)
            self._ended = None

    async def rollback(self) -> None:
        """Roll back an open block, after an error that the scenario does not handle."""
        if self._connection is None or not self.in_block:
            return
        if self._context.stop.is_set():
            self._connection.ignore_stop()
        await self._connection.execute("ROLLBACK", deadline=time.monotonic() + _SHORT)
        self._sent_variables = None
        ended = self._tracker.add(TransactionAnswer(True, self.in_block, ("ROLLBACK",), closes=True))
        if ended is not None and self._record is not None:
            self._end(ended, self._record)

    async def end_block(self) -> None:
        """Roll back a transaction that was left open at the end; it gets no row in chaos.transactions."""
        if self._connection is not None:
            self._connection.ignore_stop()
            self._connection.ends_when_late = self._context.factory.silent
            short = SILENT_LIMIT if self._context.factory.silent else _SHORT
            await self._connection.execute("ROLLBACK", deadline=time.monotonic() + short)

    def take_notifications(self) -> None:
        """Record the received notifications."""
        if self._connection is None or not self._context.uses_listen:
            return
        for channel, payload in self._connection.notifications():
            row = Notification(self._actor.session, self._actor.worker, channel, payload, clock.now())
            self._context.log.notifications.append(row)
            self._note_notification(row)

    async def take_last_notifications(self) -> None:
        """Send an empty query and record the notifications: the server sends them before the answer."""
        if self._connection is not None and self._context.uses_listen and self._connection.alive and not self.in_block:
            self._connection.ignore_stop()
            await self._connection.execute("", deadline=time.monotonic() + _SHORT)
        self.take_notifications()

    async def leave(self) -> None:
        """Close the connection of an ended session behind a pooler, because others may wait for it."""
        if self._context.pool is not None and not self.in_block:
            await self.take_last_notifications()
            await self.close()

    def _note_notification(self, row: Notification) -> None:
        last = self._record
        if last is not None:
            act = Record(row.session, row.worker, last.iteration, last.attempt, "", last.place, "")
            act.statement = f"-- received NOTIFY {row.channel}, '{row.payload}'"
            act.started_at = act.ended_at = row.received_at
            self._context.log.acts.append(act)

    def place(self) -> Place | None:
        """Return the place of the last statement."""
        return self._record.place if self._record else None

    def abort(self) -> None:
        """Abort the connection, if there is one."""
        if self._connection is not None:
            self._connection.abort()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.end()
