"""Orders by chance that find a bug with a known probability: probabilistic concurrency testing. Pure.

Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
ASPLOS 2010: with independent uniform priorities and d-1 points of change among k steps of n sessions, a run finds a bug
of depth d with probability at least 1/(n·k^(d-1)).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.schedule.scheduler import Blocked
from pgchaos.schedule.step_points import Choice, StepPoint
from pgchaos.schedule.wait_rules import Actor

DEPTH = 2
"""Of the bugs that are looked for: two steps of different sessions have to come in one certain order."""


@dataclass(slots=True)
class Pct:
    """The connection with the highest priority goes on; at one step, drawn too, the one that would falls to the lowest.

    Args:
        actors: all connections in order of the file.
        steps: that a run has in all.
        chance: priorities and the point of change come from here.
    """

    actors: Sequence[Actor]
    steps: int
    chance: random.Random
    trace: list[Choice] = field(default_factory=list)
    _priority: dict[Actor, int] = field(default_factory=dict, init=False)
    _change: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        order = list(range(1, len(self.actors) + 1))
        self.chance.shuffle(order)
        self._priority = dict(zip(self.actors, order, strict=True))
        self._change = self.chance.randrange(max(self.steps, 1))

    def next(
        self,
        gates: Mapping[Actor, StepPoint],
        ended: Collection[Actor],  # noqa: ARG002  # the same as the others'
    ) -> StepPoint | Blocked | None:
        """See Order."""
        ready = tuple(actor for actor in self.actors if actor in gates)
        if not ready:
            return None
        if len(self.trace) == self._change:
            self._priority[self._first(ready)] = 0
        taken = self._first(ready)
        self.trace.append(Choice(ready, taken))
        return gates[taken]

    def _first(self, ready: Sequence[Actor]) -> Actor:
        return max(ready, key=lambda actor: self._priority[actor])


def missed(sessions: int, steps: int, runs: int) -> float:
    """Bound the probability that a bug of depth 2 is missed, if runs are deterministic and blocking is known.

    Args:
        sessions: connections, n.
        steps: in all, k.
        runs: that were made.

    Returns:
        (1 - 1/(n·k))^runs.
    """
    return float((1 - 1 / (max(sessions, 1) * max(steps, 1))) ** runs)
