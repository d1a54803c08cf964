"""One worker of a session that runs a program: what its connections share."""

from __future__ import annotations

from pgchaos import clock
from pgchaos.engine.applications.coordination import ProgramCoordinator
from pgchaos.engine.run_context import RunContext
from pgchaos.language.model import Program, Session
from pgchaos.language.problems import Place
from pgchaos.language.programs import matches
from pgchaos.language.section_items import Fault
from pgchaos.results import Record
from pgchaos.schedule.wait_rules import Actor, in_force


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
        self._steps = self._transactions = 0

    def begin_iteration(self, iteration: int) -> None:
        """Count from the beginning."""
        self.iteration, self._steps, self._transactions = iteration, 0, 0

    def next_step(self) -> str:
        """Name the step that a request is."""
        self._steps += 1
        return str(self._steps)

    def next_transaction(self, *, take: bool) -> int:
        """Number the transaction that a statement begins.

        Args:
            take: count it; else another one will have the number.
        """
        number = self._transactions
        self._transactions += take
        return number

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
