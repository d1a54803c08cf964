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

from pgchaos.scenario.model import Session
from pgchaos.schedule.board import Actor
from pgchaos.schedule.gates import Choice


def actors(sessions: Iterable[Session]) -> tuple[Actor, ...]:
    """List the connections of a scenario in order of the file."""
    return tuple(Actor(session.name, worker) for session in sessions for worker in range(1, session.count + 1))


@dataclass(slots=True)
class Frontier:
    """The interleavings that are still to be run, each once.

    Usage: `take` a prefix, run it with Follow, and `learn` its trace, until `take` gives None.

    Args:
        chance: orders those with as many preemptions by chance; None: by when they were found.
    """

    chance: random.Random | None = None
    preemptions: int = 0
    """How many the prefix has that was last taken: all with fewer have been run."""
    _found: list[tuple[int, float, tuple[Actor, ...]]] = field(default_factory=lambda: [(0, 0.0, ())])
    _taken: int = 0
    _number: int = 0

    @property
    def more(self) -> bool:
        """Whether there are any."""
        return bool(self._found)

    def take(self) -> tuple[Actor, ...] | None:
        """Give the decisions that the next run begins with; None when there are no more."""
        if not self._found:
            return None
        self.preemptions, _, prefix = heapq.heappop(self._found)
        self._taken = len(prefix)
        return prefix

    def learn(self, trace: Sequence[Choice]) -> None:
        """Take what the run that began with that prefix decided.

        Args:
            trace: its decisions, in order.
        """
        done: list[Actor] = []
        cost = 0
        for at, choice in enumerate(trace):
            last = done[-1] if done else None
            interrupts = last in choice.ready
            if at >= self._taken:
                for other in choice.ready:
                    if other != choice.taken:
                        self._keep(cost + (interrupts and other != last), (*done, other))
            cost += interrupts and choice.taken != last
            done.append(choice.taken)

    def _keep(self, cost: int, prefix: tuple[Actor, ...]) -> None:
        self._number += 1
        turn = float(self._number) if self.chance is None else self.chance.random()
        heapq.heappush(self._found, (cost, turn, prefix))


def preemptions(trace: Sequence[Choice]) -> int:
    """Count how often a connection was taken from its course.

    Args:
        trace: the decisions of a run.
    """
    return sum(one.taken != next_.taken and one.taken in next_.ready for one, next_ in pairwise(trace))


def switches(taken: Sequence[Actor]) -> int:
    """Count the context switches of an interleaving: how often another connection goes on than the one before."""
    return sum(one != other for one, other in pairwise(taken))
