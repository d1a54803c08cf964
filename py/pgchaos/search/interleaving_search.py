"""Runs many interleavings of one scenario until one fails; then finds the simplest one that fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from pgchaos.results import Launch, RunResult
from pgchaos.schedule.explore import Explore, Pct
from pgchaos.schedule.permutations import Frontier, taken
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.shrink import Taken, simpler_orders, weight
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.result_merger import ResultMerger, failure_key
from pgchaos.search.speculative_runs import SpeculativeRuns

_PASSED = 1000  # latest orders that passed, among which the one nearest to a failure is searched
_COMPARED = 500_000  # pairs of steps that are compared to find it
_SHRINKING = 200  # runs at most to simplify a failure
_SLOW, _SHRINKING_SLOW = 1.0, 3  # seconds of a run that its timeout ended; then only so many runs to simplify it
_OFFERED = 4  # runs that are offered to be made speculatively
_ENDLESS = ("timeout", "wait")  # failures after which the search ends: each further one could take as long

RunOne = Callable[[Replay | Pct], RunResult]


class InterleavingSearch:
    """Searches among the interleavings of a scenario.

    Args:
        run: runs one.
        actors: all connections in file order.
        found: whether a result is what the search looks for.
        stopped: whether the search must end.
        speculative: makes runs before the search asks for them; or None.
        count: called with the result of each of these that the search uses.
    """

    def __init__(
        self,
        run: RunOne,
        actors: tuple[Actor, ...],
        found: Callable[[RunResult], bool],
        stopped: Callable[[], bool],
        speculative: SpeculativeRuns | None = None,
        count: Callable[[RunResult], RunResult] = lambda result: result,
    ) -> None:
        self._run_one, self._actors, self._found, self._stopped = run, actors, found, stopped
        self._passed: deque[list[Launch]] = deque(maxlen=_PASSED)
        self._speculative, self._count = speculative, count

    def run_all(self, limit: int) -> RunResult:
        """Run all interleavings up to a limit, even after one has failed."""
        frontier, merger = Frontier(most=limit + 1), ResultMerger()
        while merger.count < limit and not self._is_over(merger) and (first := frontier.follow(self._actors)):
            order, result = self._run(first, partial(frontier.upcoming, self._actors), limit - merger.count - 1)
            merger.add(self._remember_passed(result))
            frontier.learn(order.trace)
        return self._with_nearest(merger.result(exhausted=not frontier.more))

    def explore(self, search: Explore) -> RunResult:
        """Run the interleavings that a search chooses, until one fails; report its simplest form."""
        merger, found = ResultMerger(), None
        while found is None and not self._is_over(merger) and (order := search.take()) is not None:
            order, result = self._run(order, search.upcoming, search.left)
            search.learn(order)
            merger.add(self._remember_passed(result))
            if self._found(result):
                found = self.shrink(taken(order.trace), result)
        explored = search.explored()
        result = self._with_nearest(merger.result(exhausted=explored.exhausted, best=found))
        return replace(result, explored=replace(explored, found=found is not None))

    def _run(
        self, order: Replay | Pct, upcoming: Callable[[int], Sequence[Replay | Pct]], left: int
    ) -> tuple[Replay | Pct, RunResult]:
        """Make the next run, or use it if it was made speculatively; returns its actual order too."""
        if self._speculative is None:
            return order, self._run_one(order)
        order, result = self._speculative.run(order, lambda: upcoming(min(left, _OFFERED)), left)
        return order, self._count(result)

    def shrink(self, failing: Taken, result: RunResult) -> RunResult:
        """Find the simplest interleaving with the same failure.

        Args:
            failing: the connection chosen at each decision of a failed run.
            result: its result.

        Returns:
            The result of the simplest one.
        """
        keys = {failure_key(failure) for failure in result.failures}
        tried, left = {failing}, _SHRINKING
        if result.duration > _SLOW and any(failure.kind == "timeout" for failure in result.failures):
            left = _SHRINKING_SLOW
        while left and not self._stopped():
            candidate = next((one for one in simpler_orders(failing, self._actors) if one not in tried), None)
            if candidate is None:
                break
            tried.add(candidate)
            left -= 1
            order = Replay(candidate, self._actors, lenient=True)
            again = self._remember_passed(self._run_one(order))
            actual = taken(order.trace)
            tried.add(actual)
            same = keys.intersection(map(failure_key, again.failures))
            if same and self._found(again) and weight(actual, self._actors) < weight(failing, self._actors):
                failing, result = actual, again
        return result

    def _remember_passed(self, result: RunResult) -> RunResult:
        """Keep the order of a run that passed."""
        if not (result.failures or result.skipped):
            self._passed.append(result.order)
        return result

    def _with_nearest(self, result: RunResult) -> RunResult:
        """Add the order that passed and is most similar to a failed run's order."""
        if not result.failures or not self._passed:
            return result
        # a comparison takes time proportional to the square of the length; the latest runs are those that shrink
        count = max(10, _COMPARED // max(1, len(result.order)) ** 2)
        latest = list(self._passed)[-count:]
        return replace(result, nearest=min(latest, key=lambda order: distance(order, result.order)))

    def _is_over(self, merger: ResultMerger) -> bool:
        return self._stopped() or merger.has_failed_by(_ENDLESS)


def distance(one: Sequence[Launch], other: Sequence[Launch]) -> int:
    """Count the pairs of steps whose order differs, and the steps that only one of two orders has."""
    there = {_step(launch): number for number, launch in enumerate(other)}
    places = [there[step] for launch in one if (step := _step(launch)) in there]
    swapped = sum(a > b for number, a in enumerate(places) for b in places[number + 1 :])
    return swapped + len(one) + len(other) - 2 * len(places)


def _step(launch: Launch) -> tuple[str, int, str, int]:
    return launch.session, launch.worker, launch.step, launch.iteration
