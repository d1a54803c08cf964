"""The settings of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgchaos.results import Failure, RunResult
from pgchaos.server.settings import nothing
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.suite_database import SuiteDatabase


def _ignore_progress(runs: int, limit: int) -> None:
    pass


def uncounted(result: RunResult, limit: int) -> None:
    """The default for `RunSettings.ran`."""


def has_failed(result: RunResult) -> bool:
    """Whether anything failed in a run."""
    return bool(result.failures)


@dataclass(frozen=True, slots=True)
class Replay:
    """One run to repeat."""

    decisions: tuple[int, ...] = ()  # the number of the connection that runs at each step; none: the file's schedule
    values: Mapping[str, str] = field(default_factory=dict)  # of the variables of `given`


@dataclass(frozen=True, slots=True)
class PythonParts:
    """Functions of a test in Python. They take a connection string, and return a failure or None."""

    setup: Callable[[str], Failure | None] | None = None  # called after the setup of the scenario
    check: Callable[[str], Failure | None] | None = None  # called after its check


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run or a search."""

    seed: int  # of everything random
    # seconds for all sessions together, and for each of the other sections, unless the file sets them
    timeout: float = 60.0
    limit: float | None = None  # seconds that no section may exceed, whatever the file sets (a test runner's timeout)
    stop: Stop | None = None  # ends the run; its database is cleaned up as after a finished run
    replay: Replay | None = None  # the one run to make; None: as the file says
    selfcheck: bool = False  # run every order of steps twice, and fail if the two runs differ
    amcheck: bool = False  # look for corruption after every run, not only of scenarios with a tag for it
    # for report files: records have the first rows of statements, and a failed run has the server's log lines
    for_files: bool = False
    found: Callable[[RunResult], bool] = has_failed  # whether a run is what a search looks for, which ends it
    key: str = ""  # under which a search stores what it found for the next time; '': not stored
    draw_seed: int | None = None  # of the drawn values, if not `seed`
    ran: Callable[[RunResult, int], None] = uncounted  # called with the result of each run and the limit of runs
    check_interrupt: Callable[[], None] = nothing  # called before each run; raises KeyboardInterrupt if one was lost
    progress: Callable[[int, int], None] = _ignore_progress  # called with the runs of a search so far and their limit
    suite: SuiteDatabase | None = None  # the database of plain files that build on each other
    python: PythonParts = PythonParts()
    at_once: int = 1  # parallel runs of a search, 1 or 2

    def share(self, written: float | None) -> float:
        """Return the seconds for one section; `written`: those in the file."""
        seconds = self.timeout if written is None else written
        return seconds if self.limit is None else min(seconds, self.limit)
