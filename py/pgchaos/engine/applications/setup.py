"""Makes the coordinator and the runners of a run with programs."""

from __future__ import annotations

from collections.abc import Mapping

from pgchaos.engine.applications.coordination import (
    FreePrograms,
    ProgramWaitRules,
    SteppedPrograms,
)
from pgchaos.engine.applications.programs import CommandLauncher
from pgchaos.engine.applications.runner import ProgramRunner
from pgchaos.engine.applications.worker import Worker
from pgchaos.engine.run_context import RunContext
from pgchaos.engine.session_log import SessionLog
from pgchaos.language.model import Scenario, Session
from pgchaos.posix.group_guard import GroupGuard
from pgchaos.schedule.permutations import actors
from pgchaos.stop import Stop


class Programs:
    """The programs of one run.

    Args:
        scenario: of the run.
        variables: of the matrix and of `given`.
    """

    def __init__(self, scenario: Scenario, variables: Mapping[str, str]) -> None:
        self._scenario, self._variables = scenario, variables
        self._guard: GroupGuard | None = None

    def coordinator(self, stop: Stop, log: SessionLog, *, stepped: bool) -> FreePrograms | SteppedPrograms:
        """Make the coordinator of the run.

        Args:
            stop: of the run.
            log: records failures.
            stepped: the sessions run step by step.
        """
        sessions = self._scenario.sessions
        rules = ProgramWaitRules(sessions, self._variables)
        if not stepped:
            return FreePrograms(rules, stop, log)
        programs = actors(session for session in sessions if session.program is not None)
        return SteppedPrograms(rules, stop, log, actors(sessions), programs)

    def join(self, context: RunContext) -> None:
        """Set the coordinator of programs in the context."""
        coordinator = context.coordinator
        if isinstance(coordinator, FreePrograms | SteppedPrograms):
            context.programs = coordinator

    def runner(self, context: RunContext, session: Session, number: int) -> ProgramRunner:
        """Make the runner of one worker of a session with a program."""
        assert session.program is not None, "a session with a program"
        worker = Worker(context, session, session.program, number)
        if session.program.function is not None:
            # imported here: only functions of a test need asyncio
            from pgchaos.engine.applications.functions import FunctionLauncher

            return ProgramRunner(worker, FunctionLauncher(worker, session.program.function))
        if self._guard is None:
            self._guard = GroupGuard()
        folder = self._scenario.path.resolve().parent
        return ProgramRunner(worker, CommandLauncher(worker, folder, self._variables, self._guard))

    def close(self) -> None:
        """Kill what is left of their processes."""
        if self._guard is not None:
            self._guard.close()
