"""Runs many interleavings of one scenario, until one fails; then makes that one easy to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pgchaos.results import RunResult
from pgchaos.schedule.explore import Explore, Pct
from pgchaos.schedule.permutations import Frontier, taken
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.shrink import Taken, easier, weight
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.merge import ResultMerger, key_of

_SHRINKING = 200
"""Runs that may be spent on making a failure easier to read."""
_ENDLESS = ("timeout", "wait")
"""Failures of which each further one could take as long."""

Once = Callable[[Replay | Pct], RunResult]


class Searching:
    """Searches among the interleavings of a scenario.

    Args:
        once: runs one.
        actors: all connections in order of the file.
        found: says of a result whether it is what is searched for.
        stopped: says whether the search shall end.
    """

    def __init__(
        self,
        once: Once,
        actors: tuple[Actor, ...],
        found: Callable[[RunResult], bool],
        stopped: Callable[[], bool],
    ) -> None:
        self._once, self._actors, self._found, self._stopped = once, actors, found, stopped

    def all(self, limit: int) -> RunResult:
        """Run all interleavings, also after one has failed.

        Args:
            limit: runs at most.

        Returns:
            What they come to.
        """
        frontier, gathering = Frontier(most=limit + 1), ResultMerger()
        while gathering.count < limit and not self._over(gathering) and (prefix := frontier.take()) is not None:
            order = Replay(prefix, self._actors)
            gathering.add(self._once(order))
            frontier.learn(order.trace)
        return gathering.result(exhausted=not frontier.more)

    def explore(self, search: Explore) -> RunResult:
        """Run what a search asks for, until one run fails."""
        gathering, found = ResultMerger(), None
        while found is None and not self._over(gathering) and (order := search.take()) is not None:
            result = self._once(order)
            search.learn(order)
            gathering.add(result)
            if self._found(result):
                found = self.shrunk(taken(order.trace), result)
        explored = search.explored()
        result = gathering.result(exhausted=explored.exhausted, best=found)
        result.explored = replace(explored, found=found is not None)
        return result

    def shrunk(self, failing: Taken, result: RunResult) -> RunResult:
        """Find the easiest interleaving that fails as one does.

        Args:
            failing: who went on at each decision of it.
            result: what it left behind.

        Returns:
            What the easiest one left behind.
        """
        names = {key_of(failure) for failure in result.failures}
        tried, left = {failing}, _SHRINKING
        while left and not self._stopped():
            candidate = next((one for one in easier(failing, self._actors) if one not in tried), None)
            if candidate is None:
                break
            tried.add(candidate)
            left -= 1
            order = Replay(candidate, self._actors, lenient=True)
            again = self._once(order)
            went = taken(order.trace)
            tried.add(went)
            same = names.intersection(map(key_of, again.failures))
            if same and self._found(again) and weight(went, self._actors) < weight(failing, self._actors):
                failing, result = went, again
        return result

    def _over(self, gathering: ResultMerger) -> bool:
        return self._stopped() or gathering.has_failed_by(_ENDLESS)
