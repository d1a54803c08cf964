"""Starts the commands of a scenario."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pgchaos.engine.answer import SUCCESS
from pgchaos.engine.applications.client import Address
from pgchaos.engine.applications.environment import program_environment
from pgchaos.engine.applications.error_output import shown_lines
from pgchaos.engine.applications.process import CannotEnd, CannotStart, ProgramProcess, describe_status
from pgchaos.engine.applications.worker import Worker
from pgchaos.engine.coordinator import SessionFailed
from pgchaos.language.programs import allowed_statuses, command_of
from pgchaos.posix.activity import ActivityProbe
from pgchaos.posix.group_guard import GroupGuard
from pgchaos.results import Failure
from pgchaos.stop import Stop


class CommandLauncher:
    """Starts the command of one worker.

    Args:
        worker: of the session.
        folder: its working directory.
        variables: of psql.
        guard: kills its processes in any case.
    """

    def __init__(self, worker: Worker, folder: Path, variables: Mapping[str, str], guard: GroupGuard) -> None:
        self._worker, self._folder, self._variables, self._guard = worker, folder, variables, guard
        self.command = worker.program.text

    async def start(self, address: Address, iteration: int) -> RunningCommand:
        """See Launcher."""
        worker, actor = self._worker, self._worker.actor
        known = {**self._variables, "worker": str(actor.worker), "iteration": str(iteration)}
        command = command_of(worker.program, known)
        environment = program_environment(
            os.environ, address.variables, actor.session, actor.worker, iteration, worker.context.seed
        )
        try:
            process = await ProgramProcess.start(command, self._folder, environment, self._guard)
        except CannotStart as why:
            text = f"{actor} cannot run its program: {why}"
            raise SessionFailed(Failure("error", (), text, worker.program.place, session=str(actor))) from None
        allowed = allowed_statuses(worker.session, self._variables)
        return RunningCommand(worker, process, self.command, allowed, self._folder)


class RunningCommand:
    """A running command.

    Args:
        worker: that it runs for.
        process: of the command.
        command: as written.
        allowed: the exit statuses that are no failure.
        folder: its working directory.
    """

    def __init__(
        self, worker: Worker, process: ProgramProcess, command: str, allowed: frozenset[int], folder: Path
    ) -> None:
        self._worker, self._process, self._command, self._allowed = worker, process, command, allowed
        self._folder = folder
        self._ended = False
        self.probe = ActivityProbe(process.pid)

    async def ends(self, stop: Stop) -> bool:
        """See RunningProgram."""
        self._ended = await self._process.ends(stop)
        return self._ended

    async def finish(self) -> Failure | None:
        """See RunningProgram."""
        worker = self._worker
        try:
            status = await self._process.finish()
        except CannotEnd as why:
            # report it for any cause of the stop: the process is left behind
            text = f"{worker.actor}: `{self._command}` cannot be ended: {why}"
            failure = Failure("error", (), text, worker.program.place, session=str(worker.actor))
            worker.context.coordinator.fail_internal(failure)
            return None
        how = describe_status(status) if self._ended else "ended with the run"
        worker.act(f"{self._command}: {how}", worker.program.place)
        has_failed = self._ended and status not in self._allowed
        errors = self._process.errors
        worker.errors = shown_lines(errors, self._folder)
        shown = worker.errors if has_failed else ()
        # do not repeat what the failure shows in full
        for name, lines in (("", self._process.output), (" (stderr)", [] if len(shown) == len(errors) else errors)):
            for line in lines:
                worker.context.notices.say(f"{worker.actor}{name}: {line}")
        if not has_failed:
            return None
        text = f"{worker.actor}: `{self._command}` ended with {how}"
        details = (*_last_error(worker), *(shown or ("it has written nothing to standard error",)))
        place = worker.program.place
        return Failure("error", (f"exit {status}",), text, place, details, session=str(worker.actor))


def _last_error(worker: Worker) -> tuple[str, ...]:
    """Describe the program's last error of the server, if any."""
    for record in reversed(worker.context.log.records):
        if (record.session, record.worker) == worker.actor and record.sqlstate not in (None, SUCCESS):
            return (f"its last error: {record.sqlstate} in step {record.step}: {record.message}",)
    return ()
