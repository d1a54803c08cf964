"""Enumerates the interleavings of a scenario's steps, those with the fewest preemptions first. Pure.

A preemption interrupts a connection that could continue; a switch when it ends or blocks is not a preemption. Most bugs
need one or two (Musuvathi, Qadeer, "Iterative Context Bounding for Systematic Testing of Multithreaded Programs",
PLDI 2007).

Each run reports its actual decisions, in which a connection that is blocked or has no step left cannot be chosen. So
permutations that differ only in the position of a blocked step are the same, and none is enumerated that cannot run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from pgchaos.language.model import Session
from pgchaos.schedule.footprint import Dependence
from pgchaos.schedule.reduction import NONE_ASLEEP, Asleep, PreemptionBound, PreemptionCount, SleepSet
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.step_points import Choice
from pgchaos.schedule.wait_rules import Actor

# The decisions of a run, how many of them the new run begins with, and the connection after these. All branches of a
# run share its tuple of decisions, because copies would take quadratic memory.
_Branch: TypeAlias = tuple[tuple[Actor, ...], int, Actor]
# the preemptions, the rank among prefixes with as many, the branch, and the sleep set before the last decision
_Prefix: TypeAlias = "tuple[int, float, _Branch | None, Asleep]"
_ROOM = 1000  # the heap is pruned when it has this many more prefixes than twice `most`, because pruning is slow


def actors(sessions: Iterable[Session]) -> tuple[Actor, ...]:
    """Return the connections of a scenario in file order."""
    return tuple(Actor(session.name, worker) for session in sessions for worker in range(1, session.count + 1))


@dataclass(slots=True)
class Frontier:
    """The interleavings that have not been run yet.

    `take` a prefix, run it by Replay, and `learn` its trace, until `take` returns None.
    """

    chance: random.Random | None = None  # for a random order among prefixes with as many preemptions; None: as found
    dependence: Dependence | None = None  # run only one of several equivalent interleavings; None: run all
    most: int | None = None  # how many will be taken at most, so that only these are stored; None: store all
    preemptions: int = 0  # of the last prefix; all interleavings with fewer were run, or an equivalent one was
    left_out: int = 0  # the number of prefixes whose interleavings are all equivalent to others
    _heap: list[_Prefix] = field(default_factory=lambda: [(0, 0.0, None, NONE_ASLEEP)])
    _taken: int = 0
    _asleep: Asleep = NONE_ASLEEP
    _pushed: int = 0

    @property
    def more(self) -> bool:
        """Whether there are more interleavings."""
        return bool(self._heap)

    def take(self) -> tuple[Actor, ...] | None:
        """Return the decisions that the next run begins with; None at the end."""
        if not self._heap:
            return None
        self.preemptions, _, branch, self._asleep = heapq.heappop(self._heap)
        prefix = _prefix(branch)
        self._taken = len(prefix)
        return prefix

    def follow(self, actors: Sequence[Actor]) -> Replay | None:
        """Return the scheduler of the next run, for all connections in file order; None at the end."""
        prefix = self.take()
        return None if prefix is None else self._scheduler(prefix, self._asleep, actors)

    def _scheduler(self, prefix: tuple[Actor, ...], asleep: Asleep, actors: Sequence[Actor]) -> Replay:
        sleep = None if self.dependence is None else SleepSet(self.dependence)
        return Replay(prefix, actors, sleep=sleep, asleep=asleep)

    def upcoming(self, actors: Sequence[Actor], number: int) -> list[Replay]:
        """Return the schedulers of the next runs, if no further run changes them, without taking them."""
        first = [heapq.heappop(self._heap) for _ in range(min(number, len(self._heap)))]
        for one in first:
            heapq.heappush(self._heap, one)
        return [self._scheduler(_prefix(branch), asleep, actors) for _, _, branch, asleep in first]

    def learn(self, trace: Sequence[Choice]) -> None:
        """Add the alternatives to the decisions of the run that began with the last prefix."""
        costs = (
            PreemptionBound(self.dependence)
            if self.dependence is not None and self.dependence.known
            else PreemptionCount()
        )
        sleep = None if self.dependence is None else SleepSet(self.dependence)
        asleep, decisions = self._asleep, taken(trace)
        for at, choice in enumerate(trace):
            waiting = at + 1 < len(trace) and trace[at + 1].waiting
            if at >= self._taken:
                if choice.taken in asleep:
                    # all connections sleep: what follows is run elsewhere
                    return
                self._branch(decisions, at, choice, asleep, sleep, costs)
            if sleep is not None and at >= self._taken - 1:
                asleep = sleep.after(asleep, choice, waiting=waiting)
            costs.advance(choice)

    def _branch(
        self,
        decisions: tuple[Actor, ...],
        at: int,
        choice: Choice,
        asleep: Asleep,
        sleep: SleepSet | None,
        costs: PreemptionBound | PreemptionCount,
    ) -> None:
        """Store the alternatives to a choice; in each of them, the connections chosen before sleep."""
        before = asleep | {choice.taken}
        for other in choice.ready:
            if other == choice.taken:
                continue
            if sleep is None:
                self._push(costs.of(choice, other), (decisions, at, other), NONE_ASLEEP)
            elif other in asleep or sleep.is_needless(before, choice, other):
                self.left_out += 1
            else:
                self._push(costs.of(choice, other), (decisions, at, other), before)
            before |= {other}

    def _push(self, cost: int, branch: _Branch, asleep: Asleep) -> None:
        self._pushed += 1
        turn = float(self._pushed) if self.chance is None else self.chance.random()
        heapq.heappush(self._heap, (cost, turn, branch, asleep))
        if self.most is not None and len(self._heap) > 2 * self.most + _ROOM:
            # only the first `most` can be taken: prefixes found later come after them, or displace some
            self._heap = heapq.nsmallest(self.most, self._heap)


def _prefix(branch: _Branch | None) -> tuple[Actor, ...]:
    return () if branch is None else (*branch[0][: branch[1]], branch[2])


def taken(trace: Sequence[Choice]) -> tuple[Actor, ...]:
    """Return the connection that each decision of a run chose."""
    return tuple(choice.taken for choice in trace)


def preemptions(trace: Sequence[Choice]) -> int:
    """Count the preemptions of a run."""
    return sum(one.taken != next_.taken and one.taken in next_.ready for one, next_ in pairwise(trace))


def switches(taken: Sequence[Actor]) -> int:
    """Count the context switches: how often the next step is of another connection."""
    return sum(one != other for one, other in pairwise(taken))
