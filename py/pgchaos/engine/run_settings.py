"""How a run is to be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgchaos.results import Failure, RunResult
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.suite_database import SuiteDatabase


def _ignore_progress(runs: int, limit: int) -> None:
    pass


def uncounted(result: RunResult, limit: int) -> None:
    """Count no run."""


def has_failed(result: RunResult) -> bool:
    """Say whether anything failed in a run."""
    return bool(result.failures)


@dataclass(frozen=True, slots=True)
class Replay:
    """One run that is to be made again.

    Args:
        decisions: who goes on at each step, by the numbers of the connections; none to go by the file's schedule.
        values: of the variables of `given`.
    """

    decisions: tuple[int, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PythonParts:
    """What a test in Python does before and after the sessions; each is given a connection string.

    Args:
        setup: after the setup of the scenario; returns what failed, or None.
        check: after its check, likewise.
    """

    setup: Callable[[str], Failure | None] | None = None
    check: Callable[[str], Failure | None] | None = None


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run is to be made.

    Args:
        seed: of everything random.
        timeout: seconds for the sessions together, and for each of the other sections, where the file names none.
        limit: seconds that no share may exceed, whatever the file says (a test runner's own time-out), or None.
        stop: when it is set, the run is brought to an end, its database left as a finished run leaves it; or None.
        replay: the one run that is to be made; None to go by the file.
        selfcheck: run every order of steps twice, and fail where they do not go the same way.
        amcheck: look for corruption after every run, not only of scenarios that are tagged so.
        for_files: files are made of the result: records have the first rows that statements returned, and a failed run
            what the server logged of it.
        found: says of a run whether it is what a search is for: then the search ends.
        key: under which a search keeps what it found, for the next time; '' to keep nothing.
        draw_seed: of the values that are drawn, where it is not `seed`.
        suite: the one database of plain files that build on each other, for one of these; or None.
        ran: called with the result of each run, and the most runs that there will be.
        at_once: runs of a search that are made side by side, 1 or 2.
        progress: called with the number of runs that a search has made, and the most that it will make.
        python: of a test in Python.
    """

    seed: int
    timeout: float = 60.0
    limit: float | None = None
    stop: Stop | None = None
    replay: Replay | None = None
    selfcheck: bool = False
    amcheck: bool = False
    for_files: bool = False
    found: Callable[[RunResult], bool] = has_failed
    key: str = ""
    draw_seed: int | None = None
    ran: Callable[[RunResult, int], None] = uncounted
    progress: Callable[[int, int], None] = _ignore_progress
    suite: SuiteDatabase | None = None
    python: PythonParts = PythonParts()
    at_once: int = 1

    def share(self, written: float | None) -> float:
        """Tell the seconds of one part of the run."""
        seconds = self.timeout if written is None else written
        return seconds if self.limit is None else min(seconds, self.limit)
