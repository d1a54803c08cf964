"""One worker of a session that runs a program: what its connections share."""

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
    """One that ended by a serialization failure or a deadlock."""

    number: int  # of the transaction among those of its worker
    attempts: int  # that were made


class Worker:
    """Counts steps and transactions, and knows the faults.

    Args:
        context: of the run.
        session: that it belongs to.
        program: of the session.
        number: which connection of the session it is, from 1.
    """

    def __init__(self, context: RunContext, session: Session, program: Program, number: int) -> None:
        assert context.programs is not None, "of a run with programs"
        self.context, self.session, self.program = context, session, program
        self.coordinator: ProgramCoordinator = context.programs
        self.actor = Actor(session.name, number)
        self.iteration = 1
        self.pid: int | None = None
        """The backend of the connection that has sent something last, while it stands."""
        self.place = program.place
        """Of its last statement."""
        self._faults = [item for item in session.items if isinstance(item, Fault) and in_force(item, context.variables)]
        self.errors: tuple[str, ...] = ()
        """What the program that has ended last wrote to standard error, as much as is shown."""
        self.requests = self._transactions = 0
        self._asking: set[Lane] = set()
        self.overlaps = False
        """Several connections had a transaction or a request at the same time."""
        self._failed: dict[Lane, FailedTransaction] = {}

    def begin_iteration(self, iteration: int) -> None:
        """Count from the beginning."""
        self.iteration, self.requests, self._transactions = iteration, 0, 0
        self._failed.clear()

    def ask(self, lane: Lane) -> None:
        """Note that a request has come on a connection."""
        self._asking.add(lane)
        self.overlaps = self.overlaps or len(self._asking) > 1

    def rest(self, lane: Lane) -> None:
        """Note that a connection has no request and no transaction, or has ended."""
        self._asking.discard(lane)

    def next_step(self) -> str:
        """Name the step that a request is."""
        self.requests += 1
        return str(self.requests)

    def next_transaction(self, *, take: bool) -> int:
        """Number the transaction that a statement begins.

        Args:
            take: count it; else another one will have the number.
        """
        number = self._transactions
        self._transactions += take
        return number

    def fail(self, lane: Lane, failed: FailedTransaction) -> None:
        """Note a transaction that the program is expected to begin again."""
        self._failed[lane] = failed

    def begin_again(self, lane: Lane) -> FailedTransaction | None:
        """Take the failed transaction that the next one on a connection begins again; None for none.

        A program that sends one request at a time may do so on another connection: a new one, or the next of a pool.
        """
        if lane not in self._failed and not self.overlaps:
            lane = next(iter(self._failed), lane)
        return self._failed.pop(lane, None)

    def faults_at(self, statement: str) -> tuple[Fault, ...]:
        """List the faults whose executions a statement counts for."""
        return tuple(fault for fault in self._faults if matches(fault.statement, statement))

    def act(self, what: str, place: Place) -> Record:
        """Note for the report what is done between statements."""
        act = Record(self.actor.session, self.actor.worker, self.iteration, 1, "", place, f"-- {what}")
        act.started_at = act.ended_at = clock.now()
        act.has_line = place != self.program.place
        self.context.log.acts.append(act)
        return act
