"""The faults of one statement: those before it, during it, and after its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from pgchaos import clock
from pgchaos.engine.answer import Answer
from pgchaos.engine.connection import ConnectionLost
from pgchaos.engine.coordinator import Halted, SessionFailed
from pgchaos.engine.faults.actions import OVER, NotDelivered, TargetGone
from pgchaos.engine.faults.commits import CommitHold, ends_in_commit
from pgchaos.engine.faults.fault_counter import failure
from pgchaos.engine.faults.fault_injector import FaultInjector
from pgchaos.engine.loop import Task, begin
from pgchaos.language.fault_kinds import describe, targets_backends, targets_connections, targets_own_session
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Fault, Statement
from pgchaos.results import Record
from pgchaos.schedule.wait_rules import Actor
from pgchaos.server import ServerError

if TYPE_CHECKING:
    from pgchaos.engine.answer_hold import AnswerHold

ADMIN_SHUTDOWN = "57P01"
"""The backend was terminated, or the server is shutting down."""


class FaultTarget(Protocol):
    """A connection whose statements have faults."""

    before_send: Callable[[], None] | None

    @property
    def in_block(self) -> bool:
        """Whether a transaction block is open, failed or not."""
        ...

    async def connect(self) -> object:
        """Open it, unless it is open. Raises ConnectionLost."""
        ...


class StatementFaults:
    """The faults of one execution of a statement: those of `faults` that are due at it."""

    def __init__(
        self,
        injector: FaultInjector,
        faults: Sequence[Fault],
        actor: Actor,
        connection: FaultTarget,
        act: Callable[[str, Place], Record],
    ) -> None:
        self._injector, self._actor, self._connection, self._act = injector, actor, connection, act
        self._due = [fault for fault in faults if injector.counter.is_due(fault, actor)]
        self._done: list[Fault] = []
        self._missed: list[tuple[Fault, NotDelivered]] = []
        self._over = False
        self._line = 0  # of the statement
        self._task: Task[None] | None = None
        self._hold: CommitHold | None = None
        self._answer: AnswerHold | None = None

    def description(self) -> str | None:
        """Return the delivered faults, for the history, or None."""
        return ", ".join(map(describe, self._done)) or None

    async def before(self, item: Statement) -> None:
        """Deliver the faults before the statement, and start a task for those during it.

        Raises:
            SessionFailed: a fault could not be delivered.
            Halted: the run was stopped.
        """
        self._line = item.place.line
        if not self._due or (any(map(_needs_connection, self._due)) and not await self._connected()):
            return
        await self._inject_each([fault for fault in self._due if fault.moment == "before"])
        during = [fault for fault in self._due if fault.moment == "during"]
        await self._inject_each([fault for fault in during if fault.kind == "fill"])
        interrupting = [fault for fault in during if fault.kind != "fill"]
        if interrupting:
            await self._prepare_during(interrupting, item)

    async def _connected(self) -> bool:
        """Connect, so that faults have a target; the statement itself reports a failure to connect."""
        try:
            await self._connection.connect()
        except ConnectionLost:
            for fault in self._due:
                self._injector.counter.not_reached(fault, self._actor)
            self._due = []
            return False
        return True

    async def _prepare_during(self, interrupting: list[Fault], item: Statement) -> None:
        # network faults last: they wait for an answer
        interrupting.sort(key=targets_connections)
        if any(map(_loses_answer, interrupting)):
            self._answer = self._injector.hold_answer(self._actor)
            self._connection.before_send = self._answer.arm
        holding = [fault for fault in interrupting if self._can_hold(fault)]
        if holding and ends_in_commit(item, self._connection.in_block):
            self._hold = await self._held(holding[0])
        self._task = begin(
            self._inject_during(interrupting),
            lambda error: self._injector.fail_internal(error, interrupting[0], self._actor),
        )

    async def _held(self, fault: Fault) -> CommitHold | None:
        hold = CommitHold(self._injector.fault_connection, self._injector.stop)
        try:
            return hold if await hold.hold() else None
        except NotDelivered as why:
            raise SessionFailed(failure(fault, f"commits cannot be held: {why}", str(self._actor))) from None

    def _can_hold(self, fault: Fault) -> bool:
        # a cancel makes a backend that waits for a standby answer
        return (
            self._injector.fault_connection.server_control is not None
            and fault.kind != "cancel"
            and not targets_connections(fault)
            and not fault.when_blocked
        )

    async def _inject_during(self, interrupting: list[Fault]) -> None:
        try:
            for fault in interrupting:
                if targets_connections(fault):
                    await self._release_commits()
                why = await self._try(fault, lambda: self._over)
                if why is not None:
                    self._missed.append((fault, why))
        except Halted:  # the run was stopped: no further fault is delivered
            pass
        finally:
            await self._release_commits()
            if self._answer is not None:
                self._answer.release()

    async def _release_commits(self) -> None:
        if self._hold is not None:
            hold, self._hold = self._hold, None
            await hold.release()

    async def after(self, answer: Answer) -> None:
        """Handle the answer to the statement, and deliver the faults after it.

        Raises:
            SessionFailed: a fault could not be delivered.
            Halted: the run was stopped.
        """
        await self.abandon(answer)
        lost = answer.error is not None and answer.error.lost
        for fault, why in self._missed:
            if lost:
                # another fault ended the connection first: the statement may be retried
                self._injector.counter.not_reached(fault, self._actor)
            else:
                self._report(fault, why)
        if answer.error is None:
            for fault in tuple(self._done):
                if fault.moment == "during" and _must_end_statement(fault):
                    self._came_late(fault)
        await self._inject_each([fault for fault in self._due if fault.moment == "after"])

    def _came_late(self, fault: Fault) -> None:
        """Report a fault that was delivered after the answer; one `at any step` only missed this step."""
        if not fault.anywhere:
            self._report(fault, NotDelivered(OVER))
        if fault.kind == "cancel":
            self._done = [one for one in self._done if one is not fault]
            self._injector.counter.note_missed(fault, OVER)

    async def abandon(self, answer: Answer | None = None) -> None:
        """End the task of faults: the statement is over."""
        self._over, self._connection.before_send = True, None
        if self._task is not None:
            await self._task.ends()
            self._task = None
        if any(fault.kind == "fill" and fault.moment == "during" for fault in self._done):
            # a failure to start is reported at the end of the run, where it is tried again
            with suppress(ServerError, NotDelivered):
                await self._injector.outage.release(crashed=self._crashed(answer))

    def _crashed(self, answer: Answer | None) -> bool:
        """Whether the statement crashed the server, because there was no space for its WAL."""
        wal = any(fault.argument == "wal" for fault in self._done)
        error = answer.error if answer is not None else None
        return wal and error is not None and error.lost and error.sqlstate != ADMIN_SHUTDOWN

    async def _inject_each(self, faults: list[Fault]) -> None:
        for fault in faults:
            why = await self._try(fault)
            if why is not None:
                self._report(fault, why)

    def _report(self, fault: Fault, why: NotDelivered) -> None:
        """Report a fault that could not be delivered; at a step that a search has chosen, only count it."""
        if not (fault.anywhere and isinstance(why, TargetGone)):
            raise SessionFailed(failure(fault, str(why), str(self._actor)))
        self._injector.counter.note_missed(fault, str(why))

    async def _try(self, fault: Fault, over: Callable[[], bool] | None = None) -> NotDelivered | None:
        """Deliver a fault; return why it could not be delivered, or None."""
        act = self._act(f"fault: {describe(fault)}, {fault.moment} line {self._line}", fault.place)
        act.ended_at = None
        try:
            hold = self._hold if over is not None else None
            answer = self._answer if over is not None and _loses_answer(fault) else None
            act.ended_at = await self._injector.inject(fault, self._actor, over, hold, answer)
        except NotDelivered as why:
            act.statement, act.ended_at = f"{act.statement}: not delivered", clock.now()
            return why
        self._done.append(fault)
        return None


def _needs_connection(fault: Fault) -> bool:
    """Whether a fault needs a connection of the session itself."""
    own = targets_backends(fault) or fault.kind in ("cut", "reset", "stall")
    return fault.moment == "during" or (fault.target is None and own)


def _loses_answer(fault: Fault) -> bool:
    """Whether the answer to the statement is held until the fault is delivered."""
    return targets_connections(fault) and targets_own_session(fault)


def _must_end_statement(fault: Fault) -> bool:
    """Whether the statement cannot succeed if the fault is delivered during it."""
    return fault.kind != "fill" and targets_own_session(fault) and not targets_connections(fault)
