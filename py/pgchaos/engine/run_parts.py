"""Joins the results of the parts of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pgchaos.engine.notices import NoticeCollector
from pgchaos.engine.session_log import SessionsResult
from pgchaos.results import Assertion, CheckResult, Failure, Findings, RunResult
from pgchaos.tap import failure_of


@dataclass(slots=True)
class RunParts:
    """The result of each part of a run, in the order of the run; a part that it did not reach is empty."""

    notices: NoticeCollector
    setup: Failure | None = None
    sessions: SessionsResult = field(default_factory=SessionsResult)
    history: Failure | None = None
    check: CheckResult = field(default_factory=CheckResult)
    corruption: Findings = field(default_factory=Findings)
    teardown: Failure | None = None
    assertions: list[Assertion] = field(default_factory=list)  # of chaos.assert
    remarks: list[str] = field(default_factory=list)  # on sections that did nothing, and sessions that may not race
    leaks: Findings = field(default_factory=Findings)
    lost: Failure | None = None  # of the admin connection
    complete: bool = False
    silent: bool = False
    outside: tuple[str, ...] = ()

    def failures(self) -> Iterator[Failure]:
        """List all failures, in the order of the run."""
        found = (
            self.setup,
            *self.sessions.log.failures,
            self.history,
            *self.check.failures,
            *self.corruption.failures,
            self.teardown,
            *map(failure_of, self.assertions),
            *self.leaks.failures,
            self.lost,
        )
        return (failure for failure in found if failure is not None)

    def join(self, result: RunResult, server_log: list[str]) -> RunResult:
        """Return a copy of a result with all parts.

        Args:
            result: what else is known of the run.
            server_log: the last lines of the log of a server of the scenario's own.
        """
        sessions, log, check = self.sessions, self.sessions.log, self.check
        failures, not_examined = [*result.failures, *self.failures()], self.corruption.notes
        return replace(
            result,
            failures=failures,
            notes=[*result.notes, *(not_examined if failures else []), *self.leaks.notes],
            # a run that passed must not seem to have been examined
            remarks=[
                *result.remarks,
                *check.remarks,
                *log.remarks,
                *self.remarks,
                *([] if failures else not_examined),
            ],
            records=log.records,
            acts=log.acts,
            transactions=log.transactions,
            notifications=log.notifications,
            output=self.notices.output,
            order=sessions.order,
            stopped_sessions=log.stopped_sessions,
            evaluations=sessions.evaluations,
            missed=sessions.missed,
            delivered=sessions.delivered,
            without_effect=sessions.without_effect,
            assertions=[*check.assertions, *self.assertions],
            diagnostics=check.diagnostics,
            evaluated={*log.evaluated, *self.notices.evaluated, *check.evaluated},
            check=check.state,
            skipped=check.skipped or result.skipped,
            complete=self.complete,
            silent=self.silent,
            outside=self.outside,
            log=server_log,
        )
