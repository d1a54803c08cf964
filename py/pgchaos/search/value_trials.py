"""Runs one scenario with drawn values, each once, and stores the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pgchaos.language.header_model import Given, Schedule
from pgchaos.language.schedules import MOST
from pgchaos.language.search_choices import possible_values
from pgchaos.results import Explored, RunResult
from pgchaos.search.result_merger import ResultMerger

Values = Mapping[str, str]
_Key = tuple[tuple[str, str], ...]


def examples_of(schedule: Schedule, drawn: Sequence[Given]) -> int | None:
    """Choose how many values share the interleavings of a search.

    Returns:
        The number in the file, or of all possible values if that is smaller. If the file has none, half the square root
        of the number of runs. None if nothing is explored.
    """
    if schedule.kind != "explore":
        return None
    if schedule.values is None:
        return max(1, round(math.sqrt(schedule.limit or MOST) / 2))
    possible = math.prod(map(possible_values, drawn))
    return max(1, int(min(schedule.values, possible)))


class ValueTrials:
    """Stores the result for each value, so that a random race has one result for the same value.

    Args:
        run: runs with values; one interleaving, if its decisions are given.
        found: whether a result is what the search looks for.
        stopped: whether the search must end.
        reuse_decisions: try an interleaving that failed with some values first with other values.
    """

    def __init__(
        self,
        run: Callable[[Values, tuple[int, ...] | None], RunResult],
        found: Callable[[RunResult], bool],
        stopped: Callable[[], bool],
        *,
        reuse_decisions: bool,
    ) -> None:
        self._run, self._found, self._stopped, self._reuse_decisions = run, found, stopped, reuse_decisions
        self._passed = ResultMerger()
        self._decisions: tuple[int, ...] | None = None
        self._fails: dict[_Key, bool] = {}
        self._failed: dict[_Key, RunResult] = {}
        self.explored: Explored | None = None  # the search that found the first failure

    def fails(self, values: Values) -> bool:
        """Whether the scenario fails with values of `given`; False for new values once the search must end."""
        key = tuple(values.items())
        if key not in self._fails:
            self._fails[key] = not self._stopped() and self._try(key, values)
        return self._fails[key]

    def _try(self, key: _Key, values: Values) -> bool:
        result = self._run(values, self._decisions)
        if not self._found(result):
            self._passed.add(result)
            return False
        self._failed[key] = result
        self.explored = self.explored or result.explored
        if self._reuse_decisions:
            self._decisions = self._decisions or result.decisions
        return True

    def result(self, values: Values | None) -> RunResult:
        """Return the result with values that fail; with None, the joined result of all."""
        if values is not None:
            return replace(self._failed[tuple(values.items())], shrunk=True, drawn=len(self._fails))
        result = replace(self._passed.result(exhausted=False), permutations=None, drawn=len(self._fails))
        # a token for one of many alike runs would be misleading
        return result if result.failures else replace(result, values={}, decisions=None)
