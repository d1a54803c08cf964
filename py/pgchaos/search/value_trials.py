"""Runs of one scenario with values that are drawn; each once, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from pgchaos.language.header_model import Given, Schedule
from pgchaos.language.schedules import MOST
from pgchaos.language.search_choices import possible_values
from pgchaos.results import Explored, RunResult
from pgchaos.search.merge import ResultMerger

Values = Mapping[str, str]
_Key = tuple[tuple[str, str], ...]


def examples_of(schedule: Schedule, drawn: Sequence[Given]) -> int | None:
    """Say among how many values the interleavings of a search are shared out."""
    if schedule.kind != "explore":
        return None
    if schedule.values is None:
        return max(1, round(math.sqrt(schedule.limit or MOST) / 2))
    there_are = math.prod(map(possible_values, drawn))
    return max(1, int(min(schedule.values, there_are)))


class ValueTrials:
    """Remembers what became of values, so that a race that comes by chance is one answer and not two.

    Args:
        run: runs with values; one interleaving, where its decisions are given.
        found: says of a result whether it is what is searched for.
        stopped: says whether the search shall end.
        follows: an interleaving that failed with some values is the one to try with others.
    """

    def __init__(
        self,
        run: Callable[[Values, tuple[int, ...] | None], RunResult],
        found: Callable[[RunResult], bool],
        stopped: Callable[[], bool],
        *,
        follows: bool,
    ) -> None:
        self._run, self._found, self._stopped, self._follows = run, found, stopped, follows
        self._gathering = ResultMerger()
        self._decisions: tuple[int, ...] | None = None
        self._fails: dict[_Key, bool] = {}
        self._failed: dict[_Key, RunResult] = {}
        self.explored: Explored | None = None
        """The search that found the first failure."""

    def fails(self, values: Values) -> bool:
        """Say whether a scenario fails with values."""
        key = tuple(values.items())
        if key not in self._fails:
            self._fails[key] = not self._stopped() and self._try(key, values)
        return self._fails[key]

    def _try(self, key: _Key, values: Values) -> bool:
        result = self._run(values, self._decisions)
        if not self._found(result):
            self._gathering.add(result)
            return False
        self._failed[key] = result
        self.explored = self.explored or result.explored
        if self._follows:
            self._decisions = self._decisions or result.decisions
        return True

    def result(self, values: Values | None) -> RunResult:
        """Tell what became of values, or of all.

        Args:
            values: those that fail, or None.
        """
        if values is not None:
            result = self._failed[tuple(values.items())]
            result.shrunk = True
        else:
            result = self._gathering.result(exhausted=False)
            result.permutations = None
            if not result.failures:
                # the first of many that are alike: no token shall single it out
                result.values, result.decisions = {}, None
        result.drawn = len(self._fails)
        return result
