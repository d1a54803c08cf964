"""All interleavings of a scenario's steps, one run after the other. Pure.

Depth first over the decisions that runs really had: who is blocked, or has no step left, is no choice. So permutations
that differ only in where a blocked step is listed are one, and none is listed that cannot run.
"""

from __future__ import annotations

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
class Tree:
    """The decisions that are still to be tried.

    Usage: take `prefix`, run it with Follow, and `learn` its trace, until `prefix` is None.
    """

    prefix: tuple[Actor, ...] | None = ()
    """The decisions that the next run begins with; None when all have been tried."""
    _path: list[Choice] = field(default_factory=list)
    _open: list[list[Actor]] = field(default_factory=list)

    def learn(self, trace: Sequence[Choice]) -> None:
        """Take what a run that began with `prefix` decided, and find the next prefix.

        Args:
            trace: its decisions, in order. One that strayed from the prefix is taken as it came.
        """
        known = len(self._path)
        self._path = list(trace)
        del self._open[len(trace) :]
        for choice in trace[min(known, len(self._open)) :]:
            self._open.append([actor for actor in choice.ready if actor != choice.taken])
        while self._open and not self._open[-1]:
            self._open.pop()
            self._path.pop()
        if not self._open:
            self.prefix = None
            return
        del self._path[len(self._open) :]
        last = self._path.pop()
        turn = self._open[-1].pop(0)
        self._path.append(Choice(last.ready, turn))
        self.prefix = tuple(choice.taken for choice in self._path)


def switches(taken: Sequence[Actor]) -> int:
    """Count the context switches of an interleaving: how often another connection goes on than the one before."""
    return sum(one != other for one, other in pairwise(taken))
