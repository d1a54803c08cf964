"""All interleavings of a scenario's steps, those with the fewest preemptions first. Pure.

A preemption takes a connection from its course while it could go on; to go on with another because it has ended or is
blocked is none. Most bugs need one or two (Musuvathi, Qadeer, "Iterative Context Bounding for Systematic Testing of
Multithreaded Programs", PLDI 2007).

Each run tells the decisions that it really had: who is blocked, or has no step left, is no choice. So permutations that
differ only in where a blocked step is listed are one, and none is listed that cannot run.
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
from pgchaos.schedule.preemption_bound import Plain, PreemptionBound
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.sleep_sets import NOBODY, Asleep, SleepSet
from pgchaos.schedule.step_points import Choice
from pgchaos.schedule.wait_rules import Actor

_Branch: TypeAlias = tuple[tuple[Actor, ...], int, Actor]
"""The decisions of a run, how many of them the next run begins with, and who goes on then.

All branches of a run share its decisions: a copy of each would be as many as the square of its steps.
"""
_Prefix: TypeAlias = "tuple[int, float, _Branch | None, Asleep]"
"""Its preemptions, its turn among those with as many, its decisions, and who sleeps before the last of these."""
_ROOM = 1000
"""How many more are kept than twice as many as will be taken: to sort them out costs as much as to find them."""


def actors(sessions: Iterable[Session]) -> tuple[Actor, ...]:
    """List the connections of a scenario in order of the file."""
    return tuple(Actor(session.name, worker) for session in sessions for worker in range(1, session.count + 1))


@dataclass(slots=True)
class Frontier:
    """The interleavings that are still to be run, each once.

    Usage: `take` a prefix, run it with Follow, and `learn` its trace, until `take` gives None.

    Args:
        chance: orders those with as many preemptions by chance; None: by when they were found.
        dependence: of the steps: of interleavings that equal one another one is run; None: all are.
        most: how many will be taken at most: so many are kept, those that come first; None: all are.
    """

    chance: random.Random | None = None
    dependence: Dependence | None = None
    most: int | None = None
    preemptions: int = 0
    """How many the prefix has that was last taken: all with fewer have been run, or one that equals them."""
    left_out: int = 0
    """How many prefixes were not kept, for what begins with them equals something else."""
    _found: list[_Prefix] = field(default_factory=lambda: [(0, 0.0, None, NOBODY)])
    _taken: int = 0
    _asleep: Asleep = NOBODY
    _number: int = 0

    @property
    def more(self) -> bool:
        """Whether there are any."""
        return bool(self._found)

    def take(self) -> tuple[Actor, ...] | None:
        """Give the decisions that the next run begins with; None when there are no more."""
        if not self._found:
            return None
        self.preemptions, _, branch, self._asleep = heapq.heappop(self._found)
        prefix = () if branch is None else (*branch[0][: branch[1]], branch[2])
        self._taken = len(prefix)
        return prefix

    def follow(self, actors: Sequence[Actor]) -> Replay | None:
        """Give the order of the next run.

        Args:
            actors: all connections in order of the file.

        Returns:
            It; None when there are no more.
        """
        prefix = self.take()
        if prefix is None:
            return None
        sleep = None if self.dependence is None else SleepSet(self.dependence)
        return Replay(prefix, actors, sleep=sleep, asleep=self._asleep)

    def learn(self, trace: Sequence[Choice]) -> None:
        """Take what the run that began with that prefix decided.

        Args:
            trace: its decisions, in order.
        """
        costs = PreemptionBound(self.dependence) if self.dependence is not None and self.dependence.known else Plain()
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
            costs.go_on(choice)

    def _branch(
        self,
        decisions: tuple[Actor, ...],
        at: int,
        choice: Choice,
        asleep: Asleep,
        sleep: SleepSet | None,
        costs: PreemptionBound | Plain,
    ) -> None:
        """Keep the alternatives to a choice; who goes on first sleeps in those that come after."""
        before = asleep | {choice.taken}
        for other in choice.ready:
            if other == choice.taken:
                continue
            if sleep is None:
                self._keep(costs.of(choice, other), (decisions, at, other), NOBODY)
            elif other in asleep or sleep.is_needless(before, choice, other):
                self.left_out += 1
            else:
                self._keep(costs.of(choice, other), (decisions, at, other), before)
            before |= {other}

    def _keep(self, cost: int, branch: _Branch, asleep: Asleep) -> None:
        self._number += 1
        turn = float(self._number) if self.chance is None else self.chance.random()
        heapq.heappush(self._found, (cost, turn, branch, asleep))
        if self.most is not None and len(self._found) > 2 * self.most + _ROOM:
            # what is found later comes after them, or pushes them further back
            self._found = heapq.nsmallest(self.most, self._found)


def taken(trace: Sequence[Choice]) -> tuple[Actor, ...]:
    """Tell who went on at each decision of a run."""
    return tuple(choice.taken for choice in trace)


def preemptions(trace: Sequence[Choice]) -> int:
    """Count how often a connection was taken from its course.

    Args:
        trace: the decisions of a run.
    """
    return sum(one.taken != next_.taken and one.taken in next_.ready for one, next_ in pairwise(trace))


def switches(taken: Sequence[Actor]) -> int:
    """Count the context switches of an interleaving: how often another connection goes on than the one before."""
    return sum(one != other for one, other in pairwise(taken))
