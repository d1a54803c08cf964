"""Enumerates the interleavings of a scenario's steps, those with the fewest preemptions first. Pure.

A preemption interrupts a connection that could continue; a switch at its end or where it is blocked is none. Most
bugs need one or two (Musuvathi, Qadeer, "Iterative Context Bounding for Systematic Testing of Multithreaded
Programs", PLDI 2007).

Each run reports its real decisions: a connection that is blocked or has no step left is no choice. So permutations
that differ only in where a blocked step is listed are one, and none is listed that cannot run.
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
from pgchaos.schedule.reduction import NOBODY, Asleep, PreemptionBound, PreemptionCount, SleepSet
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.step_points import Choice
from pgchaos.schedule.wait_rules import Actor

# The decisions of a run, how many of them the next run begins with, and the next connection. All branches of a run
# share its decisions: copies would take the square of its steps
_Branch: TypeAlias = tuple[tuple[Actor, ...], int, Actor]
# its preemptions, its rank among those with as many, its branch, and the sleep set before the last decision
_Prefix: TypeAlias = "tuple[int, float, _Branch | None, Asleep]"
_ROOM = 1000  # pruning costs as much as finding, so that this many more than twice `most` are stored before it


def actors(sessions: Iterable[Session]) -> tuple[Actor, ...]:
    """List the connections of a scenario in file order."""
    return tuple(Actor(session.name, worker) for session in sessions for worker in range(1, session.count + 1))


@dataclass(slots=True)
class Frontier:
    """The interleavings that are still to be run, each once.

    `take` a prefix, run it by Replay, and `learn` its trace, until `take` returns None.
    """

    chance: random.Random | None = None  # a random order among those with as many preemptions; None: as found
    dependence: Dependence | None = None  # one of several equivalent interleavings is run; None: all are
    most: int | None = None  # how many will be taken at most: only the first ones are stored; None: all
    preemptions: int = 0  # of the last prefix: all with fewer were run, or an equivalent one was
    left_out: int = 0  # prefixes that begin only what is equivalent to something else
    _heap: list[_Prefix] = field(default_factory=lambda: [(0, 0.0, None, NOBODY)])
    _taken: int = 0
    _asleep: Asleep = NOBODY
    _pushed: int = 0

    @property
    def more(self) -> bool:
        """Whether there are any."""
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
        """Return the schedulers of the runs that are next as things stand, and take none of them."""
        first = [heapq.heappop(self._heap) for _ in range(min(number, len(self._heap)))]
        for one in first:
            heapq.heappush(self._heap, one)
        return [self._scheduler(_prefix(branch), asleep, actors) for _, _, branch, asleep in first]

    def learn(self, trace: Sequence[Choice]) -> None:
        """Take the decisions of the run that began with the last prefix."""
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
                    # all sleep: whatever follows is run elsewhere
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
        """Store the alternatives to a choice; the connections tried before sleep in those that follow."""
        before = asleep | {choice.taken}
        for other in choice.ready:
            if other == choice.taken:
                continue
            if sleep is None:
                self._push(costs.of(choice, other), (decisions, at, other), NOBODY)
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
            # what is found later comes after them, or pushes them further back
            self._heap = heapq.nsmallest(self.most, self._heap)


def _prefix(branch: _Branch | None) -> tuple[Actor, ...]:
    return () if branch is None else (*branch[0][: branch[1]], branch[2])


def taken(trace: Sequence[Choice]) -> tuple[Actor, ...]:
    """List which connection went on at each decision of a run."""
    return tuple(choice.taken for choice in trace)


def preemptions(trace: Sequence[Choice]) -> int:
    """Count how often a connection was interrupted."""
    return sum(one.taken != next_.taken and one.taken in next_.ready for one, next_ in pairwise(trace))


def switches(taken: Sequence[Actor]) -> int:
    """Count the context switches: how often another connection follows."""
    return sum(one != other for one, other in pairwise(taken))
