"""One worker of a session with a program: the state that its connections share."""

from __future__ import annotations

from typing import NamedTuple

from pgchaos import clock
from pgchaos.engine.applications.coordination import ProgramCoordinator
from pgchaos.engine.run_context import RunContext
from pgchaos.language.model import Program, Session
from pgchaos.language.problems import Place
from pgchaos.language.programs import matches
from pgchaos.language.section_items import Fault
from pgchaos.results import Record
from pgchaos.schedule.programs import Lane
from pgchaos.schedule.wait_rules import Actor, in_force


class FailedTransaction(NamedTuple):
    """A transaction that ended by a serialization failure or a deadlock."""

    number: int  # of the transaction in its worker
    attempts: int  # so far


class Worker:
    """Counts steps and transactions, and has the faults.

    Args:
        context: of the run.
        session: that it belongs to.
        program: of the session.
        number: of the worker in the session, from 1.
    """

    def __init__(self, context: RunContext, session: Session, program: Program, number: int) -> None:
        assert context.programs is not None, "of a run with programs"
        self.context, self.session, self.program = context, session, program
        self.coordinator: ProgramCoordinator = context.programs
        self.actor = Actor(session.name, number)
        self.iteration = 1
        self.pid: int | None = None
        """The backend of the connection that has sent last, while it is open."""
        self.place = program.place
        """The place of its last statement."""
        self._faults = [item for item in session.items if isinstance(item, Fault) and in_force(item, context.variables)]
        self.errors: tuple[str, ...] = ()
        """The shown lines of standard error of the last ended program."""
        self.requests = self.transactions = 0
        self._busy: set[Lane] = set()
        self.overlaps = False
        """Several connections have had a transaction or a request at the same time."""
        self._failed: dict[Lane, FailedTransaction] = {}

    def begin_iteration(self, iteration: int) -> None:
        """Reset the counters."""
        self.iteration, self.requests, self.transactions = iteration, 0, 0
        self._failed.clear()

    def set_busy(self, lane: Lane) -> None:
        """Record a request on a connection."""
        self._busy.add(lane)
        self.overlaps = self.overlaps or len(self._busy) > 1

    def set_idle(self, lane: Lane) -> None:
        """Record that a connection has no request and no transaction, or has ended."""
        self._busy.discard(lane)

    def next_step(self) -> str:
        """Return the name of the step of the next request."""
        self.requests += 1
        return str(self.requests)

    def fail(self, lane: Lane, failed: FailedTransaction) -> None:
        """Record a transaction that the program is expected to repeat."""
        self._failed[lane] = failed

    def begin_again(self, lane: Lane) -> FailedTransaction | None:
        """Return the failed transaction that the next one on a connection repeats, or None.

        A program that sends one request at a time may repeat it on another connection: a new one, or one of a pool.
        """
        if lane not in self._failed and not self.overlaps:
            lane = next(iter(self._failed), lane)
        return self._failed.pop(lane, None)

    def faults_at(self, statement: str) -> tuple[Fault, ...]:
        """List the faults that count a statement as an execution."""
        return tuple(fault for fault in self._faults if matches(fault.statement, statement))

    def act(self, what: str, place: Place) -> Record:
        """Record for the report what is done between statements."""
        act = Record(self.actor.session, self.actor.worker, self.iteration, 1, "", place, f"-- {what}")
        act.started_at = act.ended_at = clock.now()
        act.has_line = place != self.program.place
        self.context.log.acts.append(act)
        return act
