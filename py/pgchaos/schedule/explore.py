"""Chooses the interleavings of `schedule explore N`: by enumeration, then at random. Pure."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import InitVar, dataclass, field

from pgchaos.results import Explored
from pgchaos.schedule.footprint import Dependence
from pgchaos.schedule.permutations import Frontier, taken
from pgchaos.schedule.scheduler import Blocked, Replay
from pgchaos.schedule.step_points import Choice, StepPoint
from pgchaos.schedule.wait_rules import Actor


@dataclass(slots=True)
class Pct:
    """Runs the ready connection of highest priority; at one random step, its priority drops to the lowest.

    Probabilistic concurrency testing: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with
    Probabilistic Guarantees of Finding Bugs", ASPLOS 2010: with independent uniform priorities and d-1 points of change
    among k steps of n sessions, a run finds a bug of depth d with probability at least 1/(n·k^(d-1)).
    """

    actors: Sequence[Actor]  # all connections in file order
    steps: int  # in a whole run
    chance: InitVar[random.Random]  # draws the priorities and the point of change
    trace: list[Choice] = field(default_factory=list)
    _priority: dict[Actor, int] = field(default_factory=dict, init=False)
    _change: int = field(default=0, init=False)

    def __post_init__(self, chance: random.Random) -> None:
        order = list(range(1, len(self.actors) + 1))
        chance.shuffle(order)
        self._priority = dict(zip(self.actors, order, strict=True))
        self._change = chance.randrange(max(self.steps, 1))

    def next(
        self,
        points: Mapping[Actor, StepPoint],
        ended: Collection[Actor],  # noqa: ARG002  # part of the Scheduler protocol
    ) -> StepPoint | Blocked | None:
        """See Scheduler."""
        ready = tuple(actor for actor in self.actors if actor in points)
        if not ready:
            return None
        if len(self.trace) == self._change:
            self._priority[self._highest(ready)] = 0
        taken = self._highest(ready)
        self.trace.append(Choice(ready, taken))
        return points[taken]

    def _highest(self, ready: Sequence[Actor]) -> Actor:
        return max(ready, key=lambda actor: self._priority[actor])


def miss_probability(connections: int, steps: int, runs: int) -> float:
    """Return an upper bound of the probability that runs miss a bug of depth 2: (1 - 1/(n·k))^runs.

    The runs must be deterministic, with known blocking; n is the number of connections, k the number of all steps.
    """
    return float((1 - 1 / (max(connections, 1) * max(steps, 1))) ** runs)


class Explore:
    """Chooses up to `limit` interleavings.

    If there are no more, it chooses all. Otherwise the first half of the runs are those with the fewest preemptions,
    and the second half are random.

    Args:
        actors: all connections in file order.
        limit: the maximum number of runs.
        possible: an upper bound of the number of interleavings.
        seed: of random choices.
        dependence: of the steps, so that only one of several equivalent interleavings is run; None runs all.
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
        # schedulers drawn ahead: the number of steps they assume, the generator's state before, and the scheduler
        self._drawn: deque[tuple[int, tuple[object, ...], Pct]] = deque()
        self._different: set[tuple[Actor, ...]] = set()

    def take(self) -> Replay | Pct | None:
        """Return the scheduler of the next run; None at the end."""
        if self._runs >= self._limit or not self._frontier.more:
            return None
        self._runs += 1
        if self._runs <= self._enumerated:
            return self._frontier.follow(self._actors)
        self._by_chance += 1
        if self._drawn and self._drawn[0][0] != self._steps:
            # the schedulers ahead were drawn for shorter runs: draw them again
            self._chance.setstate(self._drawn[0][1])
            self._drawn.clear()
        return self._drawn.popleft()[2] if self._drawn else Pct(self._actors, self._steps, self._chance)

    @property
    def left(self) -> int:
        """The maximum number of further runs."""
        return self._limit - self._runs

    def upcoming(self, number: int) -> list[Replay | Pct]:
        """Return the schedulers of the next runs, if no further run changes them, without taking them."""
        enumerated = min(number, self._enumerated - self._runs)
        if enumerated > 0:
            return [*self._frontier.upcoming(self._actors, enumerated)]
        if self._by_chance:
            # their results do not affect the random generator
            while len(self._drawn) < min(number, self.left):
                before = self._chance.getstate()
                self._drawn.append((self._steps, before, Pct(self._actors, self._steps, self._chance)))
        return [pct for _, _, pct in self._drawn]

    def learn(self, order: Replay | Pct) -> None:
        """Use the decisions of a finished run, whose scheduler `take` returned."""
        self._steps = max(self._steps, len(order.trace))
        self._different.add(taken(order.trace))
        if isinstance(order, Replay):
            self._frontier.learn(order.trace)

    def explored(self) -> Explored:
        """Summarise the search so far."""
        bound = miss_probability(len(self._actors), self._steps, self._by_chance) if self._by_chance else None
        return Explored(
            self._runs,
            len(self._different),
            not self._frontier.more,
            self._frontier.preemptions,
            self._by_chance,
            bound,
            self._possible if self._frontier.left_out else 0,
        )
