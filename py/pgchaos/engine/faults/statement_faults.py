"""The faults of one statement: those before it, those that strike while it runs, and those after its answer."""

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
from pgchaos.language.fault_kinds import describe, strikes_backends, strikes_connections, strikes_own_session
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Fault, Statement
from pgchaos.results import Record
from pgchaos.schedule.wait_rules import Actor
from pgchaos.server import ServerError

if TYPE_CHECKING:
    from pgchaos.engine.answer_hold import AnswerHold

ADMIN_SHUTDOWN = "57P01"
"""Somebody was terminated, or the server was told to stop."""


class StruckConnection(Protocol):
    """A connection at whose statements faults strike."""

    before_send: Callable[[], None] | None

    @property
    def in_block(self) -> bool:
        """Whether a transaction block is open, failed or not."""
        ...

    async def connect(self) -> object:
        """Open it, where it does not stand. Raises ConnectionLost."""
        ...


class StatementFaults:
    """What strikes around one statement; those of `faults` that are due are counted as reached."""

    def __init__(
        self,
        injector: FaultInjector,
        faults: Sequence[Fault],
        actor: Actor,
        connection: StruckConnection,
        act: Callable[[str, Place], Record],
    ) -> None:
        self._injector, self._actor, self._connection, self._act = injector, actor, connection, act
        self._due = [fault for fault in faults if injector.tally.is_due(fault, actor)]
        self._done: list[Fault] = []
        self._missed: list[tuple[Fault, NotDelivered]] = []
        self._over = False
        self._line = 0  # of the statement
        self._task: Task[None] | None = None
        self._hold: CommitHold | None = None
        self._answer: AnswerHold | None = None

    def description(self) -> str | None:
        """Write for the history what struck; None where nothing did."""
        return ", ".join(map(describe, self._done)) or None

    async def before(self, item: Statement) -> None:
        """Strike before the statement, and have somebody ready who strikes while it runs.

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
            await self._make_ready(interrupting, item)

    async def _connected(self) -> bool:
        """See that there is a connection to be struck; what is wrong with it the statement itself will tell."""
        try:
            await self._connection.connect()
        except ConnectionLost:
            for fault in self._due:
                self._injector.tally.not_reached(fault, self._actor)
            self._due = []
            return False
        return True

    async def _make_ready(self, interrupting: list[Fault], item: Statement) -> None:
        # of the network last: they wait for an answer
        interrupting.sort(key=strikes_connections)
        if any(map(_loses_answer, interrupting)):
            self._answer = self._injector.hold_answer(self._actor)
            self._connection.before_send = self._answer.arm
        struck = [fault for fault in interrupting if self._can_hold(fault)]
        if struck and ends_in_commit(item, self._connection.in_block):
            self._hold = await self._held(struck[0])
        self._task = begin(
            self._inject_during(interrupting), lambda error: self._injector.broke(error, interrupting[0], self._actor)
        )

    async def _held(self, fault: Fault) -> CommitHold | None:
        hold = CommitHold(self._injector.fault_connection, self._injector.stop)
        try:
            return hold if await hold.take() else None
        except NotDelivered as why:
            raise SessionFailed(failure(fault, f"commits cannot be held: {why}", str(self._actor))) from None

    def _can_hold(self, fault: Fault) -> bool:
        # a backend that waits for a standby takes a cancel for leave to answer
        return (
            self._injector.fault_connection.server_control is not None
            and fault.kind != "cancel"
            and not strikes_connections(fault)
            and not fault.when_blocked
        )

    async def _inject_during(self, interrupting: list[Fault]) -> None:
        try:
            for fault in interrupting:
                if strikes_connections(fault):
                    await self._let_commit()
                why = await self._try(fault, lambda: self._over)
                if why is not None:
                    self._missed.append((fault, why))
        except Halted:
            pass
        finally:
            await self._let_commit()
            if self._answer is not None:
                self._answer.release()

    async def _let_commit(self) -> None:
        if self._hold is not None:
            hold, self._hold = self._hold, None
            await hold.give()

    async def after(self, answer: Answer) -> None:
        """Take the answer to the statement, and strike after it.

        Raises:
            SessionFailed: a fault could not be delivered.
            Halted: the run was stopped.
        """
        await self.abandon(answer)
        lost = answer.error is not None and answer.error.lost
        for fault, why in self._missed:
            if lost:
                # somebody else's fault came first: the statement may be sent again
                self._injector.tally.not_reached(fault, self._actor)
            else:
                self._report(fault, why)
        if answer.error is None:
            for fault in tuple(self._done):
                if fault.moment == "during" and _must_end_statement(fault):
                    self._came_late(fault)
        await self._inject_each([fault for fault in self._due if fault.moment == "after"])

    def _came_late(self, fault: Fault) -> None:
        """Tell that a fault struck when the statement had been answered; of any step, it was this one in vain."""
        if not fault.anywhere:
            self._report(
                fault, NotDelivered("the statement was over before it struck: let it wait for something there")
            )
        if fault.kind == "cancel":
            self._done = [one for one in self._done if one is not fault]
            self._injector.tally.take_back(fault, OVER)

    async def abandon(self, answer: Answer | None = None) -> None:
        """Have nobody strike any more: the statement is over."""
        self._over, self._connection.before_send = True, None
        if self._task is not None:
            await self._task.ends()
            self._task = None
        if any(fault.kind == "fill" and fault.moment == "during" for fault in self._done):
            # where it does not start, that is told when it is tried at the end again
            with suppress(ServerError, NotDelivered):
                await self._injector.outage.release(crashed=self._crashed(answer))

    def _crashed(self, answer: Answer | None) -> bool:
        """Say whether the statement took the server down, for want of room for its WAL."""
        wal = any(fault.argument == "wal" for fault in self._done)
        error = answer.error if answer is not None else None
        return wal and error is not None and error.lost and error.sqlstate != ADMIN_SHUTDOWN

    async def _inject_each(self, faults: list[Fault]) -> None:
        for fault in faults:
            why = await self._try(fault)
            if why is not None:
                self._report(fault, why)

    def _report(self, fault: Fault, why: NotDelivered) -> None:
        """Tell that a fault could not be delivered; a step that a search has chosen in vain is passed by."""
        if not (fault.anywhere and isinstance(why, TargetGone)):
            raise SessionFailed(failure(fault, str(why), str(self._actor)))
        self._injector.tally.pass_by(fault, str(why))

    async def _try(self, fault: Fault, over: Callable[[], bool] | None = None) -> NotDelivered | None:
        """Strike; say why it could not be delivered, or None."""
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
    """Say whether it takes a connection of the session itself to strike."""
    own = strikes_backends(fault) or fault.kind in ("cut", "reset", "stall")
    return fault.moment == "during" or (fault.target is None and own)


def _loses_answer(fault: Fault) -> bool:
    """Say whether the answer to the statement is kept back until it strikes."""
    return strikes_connections(fault) and strikes_own_session(fault)


def _must_end_statement(fault: Fault) -> bool:
    """Say whether the statement it strikes during cannot succeed."""
    return fault.kind != "fill" and strikes_own_session(fault) and not strikes_connections(fault)
