"""Which interleavings `schedule explore N` runs, one after the other. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pgchaos.results import Explored
from pgchaos.schedule.footprint import Dependence
from pgchaos.schedule.pct import Pct, missed
from pgchaos.schedule.permutations import Frontier, taken
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.wait_rules import Actor


class Explore:
    """At most so many interleavings.

    All, where there are no more; else those with the fewest preemptions for half of the runs, and by chance for the
    others.

    Args:
        actors: all connections in order of the file.
        limit: runs.
        possible: interleavings that there can be at most.
        seed: of chance.
        dependence: of the steps: of interleavings that equal one another one is run; None: all are.
    """

    def __init__(
        self,
        actors: Sequence[Actor],
        limit: int,
        possible: int,
        seed: int | str,
        dependence: Dependence | None = None,
    ) -> None:
        self._actors, self._limit, self._possible = actors, limit, possible
        self._enumerated = limit if possible <= limit else (limit + 1) // 2
        self._chance = random.Random(f"explore/{seed}")
        self._frontier = Frontier(self._chance, dependence, most=limit + 1)
        self._runs = self._by_chance = self._steps = 0
        self._different: set[tuple[Actor, ...]] = set()

    def take(self) -> Replay | Pct | None:
        """Give the order of the next run; None when there is none."""
        if self._runs >= self._limit or not self._frontier.more:
            return None
        self._runs += 1
        if self._runs <= self._enumerated:
            return self._frontier.follow(self._actors)
        self._by_chance += 1
        return Pct(self._actors, self._steps, self._chance)

    def learn(self, order: Replay | Pct) -> None:
        """Take what a run decided.

        Args:
            order: that `take` gave, after its run.
        """
        self._steps = max(self._steps, len(order.trace))
        self._different.add(taken(order.trace))
        if isinstance(order, Replay):
            self._frontier.learn(order.trace)

    def explored(self) -> Explored:
        """Say what was searched so far."""
        bound = missed(len(self._actors), self._steps, self._by_chance) if self._by_chance else None
        return Explored(
            self._runs,
            len(self._different),
            not self._frontier.more,
            self._frontier.preemptions,
            self._by_chance,
            bound,
            self._possible if self._frontier.left_out else 0,
        )
