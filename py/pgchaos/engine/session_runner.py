"""Runs one connection of a session: a task of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgchaos import clock
from pgchaos.engine.answer import BLOCK, Answer, ServerError
from pgchaos.engine.cancelled_by import cancelled_by
from pgchaos.engine.connection import ConnectionLost
from pgchaos.engine.coordinator import Halted, SessionFailed
from pgchaos.engine.error_messages import (
    error_failure,
    expect_failure,
    internal_failure,
    plain_failure,
    retries_failure,
)
from pgchaos.engine.faults.statement_faults import StatementFaults
from pgchaos.engine.interpreter import Interpreter, Quit, Rejected
from pgchaos.engine.position import PendingDirectives, Position
from pgchaos.engine.run_context import RunContext
from pgchaos.engine.session_connection import SessionConnection
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.engine.waits import sleep
from pgchaos.language.model import Session
from pgchaos.language.problems import Place
from pgchaos.language.section_items import (
    Allow,
    Barrier,
    Delay,
    Expect,
    Fault,
    Item,
    Meta,
    Signal,
    Statement,
    WaitBlocked,
    WaitFor,
)
from pgchaos.language.transaction_statements import closes_block, opens_block
from pgchaos.results import Record
from pgchaos.schedule.errors import Meaning, meaning
from pgchaos.schedule.step_points import StepPoint
from pgchaos.schedule.wait_rules import Actor, Wait, in_force, waits_text


class SessionRunner:
    """Runs one connection of a session; `worker` is its number, from 1."""

    def __init__(self, context: RunContext, session: Session, worker: int) -> None:
        self.actor = Actor(session.name, worker)
        self.connection = SessionConnection(context, self.actor, dict(session.connect))
        context.injector.targets.add(self.actor, self.connection)
        self._context, self._session, self._who = context, session, str(self.actor)
        self._items: list[Item] = [item for item in session.items if in_force(item, context.variables)]
        self._barriers = [item.name for item in self._items if isinstance(item, Barrier)]
        self._ordinals = {step: ordinal for ordinal, step in enumerate(session.steps)}
        self._reached = (0, 0)
        self._last: Record | None = None
        self._sent = False
        self._anywhere = tuple(item for item in self._items if isinstance(item, Fault) and item.anywhere)
        self._at = self._position(1)

    def _position(self, iteration: int) -> Position:
        """Return the position at the beginning of an iteration."""
        who, context = self.actor, self._context
        variables = {**context.variables, "worker": str(who.worker), "iteration": str(iteration)}
        state = Interpreter(variables, self._echo, self.connection.psql)
        return Position(self._items, state, iteration, f"{context.seed}/{who.session}/{who.worker}/{iteration}")

    def _echo(self, text: str) -> None:
        self._context.notices.say(f"{self._who}: {text.rstrip()}")

    async def run(self) -> None:
        """Run all iterations, and report the end to the coordinator. Failures of the scenario are not raised."""
        try:
            await self._connect()
            for iteration in range(1, self._session.repeat + 1):
                self._at = self._position(iteration)
                self._sent = False
                await self._iterate()
                if not self._repeats():
                    break
                if not self._sent:
                    # the iteration had no wait: let other tasks run
                    await sleep(0.0)
            await self.connection.leave()
        except (Quit, Halted):
            pass  # by \q, or the run reports why
        except SessionFailed as stopped:
            # stop the run before the rollback releases locks: blocked sessions must not continue and fail because of it
            self._context.coordinator.fail(stopped.failure)
            await self.connection.rollback()
        except Exception as error:
            # an internal error stops the run and is reported
            self._context.coordinator.fail_internal(internal_failure(error, self.connection.place(), self._who))
        finally:
            if self._last is not None:
                self._context.log.evaluated.add(("session", self._session.place, ""))
            self._context.injector.targets.set_ended(self.actor)
            self._context.coordinator.end(self.actor, self.connection.in_block)

    async def _connect(self) -> None:
        try:
            await self.connection.connect()
        except ConnectionLost as refused:
            if self._context.stop.is_set():
                raise Halted from None
            raise SessionFailed(error_failure(refused.error, self._session.place, self._who)) from None
        await self._context.coordinator.await_all_connected()

    async def _iterate(self) -> None:
        at, stop = self._at, self._context.stop
        for item in at.remaining():
            if stop.is_set():
                raise Halted
            if not isinstance(item, Statement):
                await self._perform(item)
            elif at.state.branches.active():
                await self._statement(item)
        for name in self._barriers:
            self._context.coordinator.arrive(self.actor, name, self._at.iteration)

    def _repeats(self) -> bool:
        """Whether there is another iteration, at the end of one."""
        session = self._session
        if session.repeat_while:
            return not self._context.coordinator.has_ended(session.repeat_while)
        if not session.until:
            return True
        try:
            done = self._at.state.is_true(session.until)
        except Rejected as wrong:
            text = f"`until {session.until}`: {wrong} at the end of iteration {self._at.iteration}"
            raise SessionFailed(plain_failure(text, session.place, self._who)) from None
        if not done and self._at.iteration == session.repeat:
            text = f"`until {session.until}`: it was not true after {session.repeat} iterations"
            raise SessionFailed(plain_failure(text, session.place, self._who))
        return not done

    async def _statement(self, item: Statement) -> None:
        log, steps = self._context.transaction_log, self._context.steps
        if log is not None and not self.connection.in_block and log.leaves_out(self.actor, self._at.iteration, item):
            self._leave_out(item)
            return
        if steps is not None:
            await self._await_step(item, steps)
        if not self.connection.in_block:
            self._at.begin()
        pending = self._at.take_pending()
        faults = pending.faults + self._anywhere if pending.faults else self._anywhere
        answer = await (self._send_with_faults(item, pending, faults) if faults else self._send(item, pending.expect))
        if self._context.needs_ack:
            self.connection.note_variables(self._at.state.variables)
        if pending.expect is not None:
            self._context.evaluated(pending.expect)
        if answer.error is not None:
            await self._fail(item, answer, answer.error, pending)
        elif answer.after in BLOCK and closes_block(item.verb, item.text):
            self._at.chain()

    async def _perform(self, item: Item) -> None:
        if isinstance(item, Meta):
            self._meta(item)
        elif not self._at.state.branches.active():
            self._skip(item)
        elif isinstance(item, Expect):
            self._at.pending = replace(self._at.pending, expect=item)
        elif isinstance(item, Allow):
            self._at.pending = replace(self._at.pending, allow=item)
        elif isinstance(item, Fault):
            if not item.anywhere:
                self._at.pending = replace(self._at.pending, faults=(*self._at.pending.faults, item))
        elif isinstance(item, Barrier | WaitBlocked | WaitFor):
            await self._wait(item)
        elif isinstance(item, Signal):
            self._act(f"signal {item.name}", item.place)
            self._context.coordinator.signal(item.name)
        elif isinstance(item, Delay):
            self._context.coordinator.states.idle(self.actor, item.place, "is in a delay")
            act = self._act("jitter" if item.jitter else "delay", item.place)
            await self._delay(item.seconds * self._at.random() if item.jitter else item.seconds)
            act.ended_at = clock.now()

    def _leave_out(self, item: Statement) -> None:
        self._at.take_pending()
        if opens_block(item.verb, item.text) and not closes_block(item.verb, item.text):
            self._skip_rest()

    async def _await_step(self, item: Statement, coordinator: SteppedCoordinator) -> None:
        """Wait until a step may begin; a retried statement belongs to the step that failed."""
        position = self._at.iteration, self._ordinals[item.step]
        if position > self._reached:
            self._reached = position
            point = StepPoint(self.actor, item.step, *position, begins=not self.connection.in_block)
            self.connection.be_deadlock_victim = await coordinator.await_step(point, item.place)

    async def _wait(self, wait: Wait) -> None:
        act = self._act(waits_text(wait), wait.place)
        act.ended_at = None
        await self._context.coordinator.wait(self.actor, wait, self._at.iteration)
        act.ended_at = clock.now()

    def _act(self, what: str, place: Place) -> Record:
        """Record for the report what is done between statements."""
        now, who = clock.now(), self.actor
        act = Record(who.session, who.worker, self._at.iteration, self._at.retries + 1, "", place, f"-- {what}")
        act.started_at = act.ended_at = now
        self._context.log.acts.append(act)
        return act

    def _skip(self, item: Item) -> None:
        """Skip an item; a skipped barrier counts as arrival."""
        if isinstance(item, Barrier):
            self._context.coordinator.arrive(self.actor, item.name, self._at.iteration)

    def _meta(self, item: Meta) -> None:
        try:
            self._at.state.meta(item)
        except Rejected as wrong:
            raise SessionFailed(plain_failure(str(wrong), item.place, self._who)) from None

    async def _delay(self, seconds: float) -> None:
        if await sleep(seconds, self._context.stop):
            raise Halted

    async def _send_with_faults(self, item: Statement, pending: PendingDirectives, faults: tuple[Fault, ...]) -> Answer:
        """Send a statement with its faults."""
        self._context.coordinator.states.idle(self.actor, item.place, "waits until its fault is delivered")
        injected = StatementFaults(self._context.injector, faults, self.actor, self.connection, self._act)
        await injected.before(item)
        self._last = None
        try:
            answer = await self._send(item, pending.expect)
        except BaseException:  # a stop too: end the tasks of faults
            await injected.abandon()
            raise
        await injected.after(answer)
        if self._last is not None:
            self._last.fault = injected.description()
        return answer

    async def _send(self, item: Statement, expect: Expect | None) -> Answer:
        r"""Send a statement, and those that `\gexec` generates; stop at the first error."""
        state = self._at.state
        try:
            texts = state.texts(item)
        except Rejected as wrong:
            raise SessionFailed(plain_failure(str(wrong), wrong.place, self._who)) from None
        several, last = len(texts) > 1, texts[-1]
        if several:
            answer = await self._send_each(item, texts[:-1])
            if answer.error is not None:
                return answer
        record = self._new_record(item, last if several else item.text)
        if last != record.statement:
            record.sent = last
        self._last, self._sent = record, True
        answer = self._checked(await self.connection.execute(item, last, record, state.variables))
        if answer.error is not None:
            return answer
        try:
            generated = state.take(item, answer)
        except Rejected as wrong:
            raise SessionFailed(plain_failure(str(wrong), item.place, self._who, wrong.hint)) from None
        record.notes = state.noted
        if generated:
            answer = await self._send_each(item, generated)
        if answer.error is None and expect is not None:
            self._context.fail(expect_failure(expect.codes, None, item.place, self._who))
        return answer

    async def _send_each(self, item: Statement, texts: Sequence[str]) -> Answer:
        """Send the texts of one statement; return the answer to the last one that was sent."""
        for text in texts:
            record = self._last = self._new_record(item, text)
            self._sent = True
            answer = self._checked(await self.connection.execute(item, text, record, self._at.state.variables))
            if answer.error is not None:
                break
        return answer

    def _checked(self, answer: Answer) -> Answer:
        """Print the data of a COPY; raise Halted if the run is stopped."""
        if answer.interrupted:
            raise Halted
        for line in answer.copied:
            self._echo(line)
        return answer

    def _new_record(self, item: Statement, text: str) -> Record:
        who, at = self.actor, self._at
        return Record(who.session, who.worker, at.iteration, at.retries + 1, item.step, item.place, text)

    # errors

    async def _fail(self, item: Statement, answer: Answer, error: ServerError, pending: PendingDirectives) -> None:
        at, expect = self._at, pending.expect
        if self._last is not None:
            result = self._context.log
            self._last.ended_by = cancelled_by(self._last, error.message, result.records, result.acts)
        what = meaning(error.sqlstate, self.connection.unknown, self._session, at.retries, expect, pending.allow)
        if what is Meaning.EXPECTED:
            return
        in_block = answer.before in BLOCK or self.connection.in_block or opens_block(item.verb, item.text)
        if what is Meaning.RETRY and at.can_go_back:
            await self.connection.rollback()
            self._act("ROLLBACK by pgchaos, then again", item.place)
            await self._again()
        elif what in (Meaning.ALLOWED, Meaning.OTHER):
            if self.connection.in_block:
                self._act("ROLLBACK by pgchaos", item.place)
            await self.connection.rollback()
            if what is Meaning.OTHER and expect is not None:
                self._context.fail(expect_failure(expect.codes, error, item.place, self._who))
            if in_block and not closes_block(item.verb, item.text):
                self._skip_rest()
        elif what is Meaning.EXHAUSTED:
            raise SessionFailed(retries_failure(error, item.place, self._who, at.retries))
        else:
            by = "" if self._last is None else self._last.ended_by
            about = replace(at.state.about(item), in_session=True, unknown=self.connection.unknown)
            raise SessionFailed(error_failure(error, item.place, self._who, about, by))

    async def _again(self) -> None:
        """Go back to the beginning of the transaction, after a pause."""
        self._context.coordinator.states.idle(self.actor, self.connection.place(), "waits to retry")
        await self._delay(self._at.pause(self._session.retry.backoff))
        self._at.go_back()

    def _skip_rest(self) -> None:
        """Skip the rest of a block that has ended early, including the statement that would close it."""
        for item in self._at.remaining():
            if isinstance(item, Meta):
                if item.name in ("if", "elif", "else", "endif"):
                    self._at.state.pass_branch(item)
            elif isinstance(item, Statement) and self._at.state.branches.active():
                record = self._new_record(item, item.text)
                record.skipped = True
                self._context.log.records.append(record)
                if closes_block(item.verb, item.text):
                    return
            else:
                self._skip(item)
