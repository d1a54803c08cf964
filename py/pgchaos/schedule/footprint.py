"""What steps touch, and so which of them come to the same in either order. Pure.

Two steps that touch no common table, or one that both only read, commute: an interleaving in which they are neighbours
equals the one in which they have changed places (Mazurkiewicz, "Trace theory", 1987).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pgchaos.schedule.wait_rules import Actor

Position: TypeAlias = tuple[int, int]
"""Of a step in the course of its connection: the iteration from 1, the number in the session from 0."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step touches.

    Args:
        reads: tables, or other things that order steps.
        writes: those that it changes or locks.
        anything: it is not known; that may be all there is.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    anything: bool = False

    def __or__(self, other: Footprint) -> Footprint:
        return Footprint(self.reads | other.reads, self.writes | other.writes, self.anything or other.anything)

    @property
    def nothing(self) -> bool:
        """Whether it touches nothing at all."""
        return not (self.reads or self.writes or self.anything)

    def independent(self, other: Footprint) -> bool:
        """Say whether steps that touch this and that come to the same in either order.

        Args:
            other: of a step of another connection.
        """
        if self.anything or other.anything:
            return False
        return not (self.writes & (other.reads | other.writes) or self.reads & other.writes)


ANYTHING = Footprint(anything=True)
NOTHING = Footprint()


def union(some: Iterable[Footprint]) -> Footprint:
    """Put footprints together.

    Args:
        some: of steps.
    """
    all_ = NOTHING
    for one in some:
        all_ |= one
    return all_


class Dependence:
    """Which steps of a scenario depend on one another; all do, until `know` was told more.

    Where a session waits for another, more is at stake than tables: who closes a circle of waits is the one who fails,
    and who lets another go on does that one's step too. Whoever asks looks after that (sleep.py).
    """

    def __init__(self) -> None:
        self._steps: Mapping[str, Sequence[Footprint]] = {}
        self._lasts: Mapping[str, int] = {}
        self._rests: dict[tuple[str, int], Footprint] = {}

    def know(self, steps: Mapping[str, Sequence[Footprint]], lasts: Mapping[str, int]) -> None:
        """Learn what the steps touch.

        Args:
            steps: of each session, in order.
            lasts: how often each session does them.
        """
        self._steps, self._lasts = steps, lasts
        self._rests.clear()

    @property
    def known(self) -> bool:
        """Whether some steps may be independent."""
        return bool(self._steps)

    def of(self, actor: Actor, position: Position) -> Footprint:
        """Tell what a step touches.

        Args:
            actor: whose.
            position: which.
        """
        steps = self._steps.get(actor.session)
        return ANYTHING if steps is None else steps[position[1]]

    def rest(self, actor: Actor, position: Position, *, behind: bool) -> Footprint:
        """Tell what all steps of a connection touch from one on.

        Args:
            actor: whose.
            position: the first.
            behind: only those behind it.
        """
        steps = self._steps.get(actor.session)
        if steps is None:
            return ANYTHING
        iteration, ordinal = position
        first = 0 if iteration < self._lasts[actor.session] else ordinal + behind
        key = actor.session, first
        if key not in self._rests:
            # from the end, all at once: one by one they would take the square of the steps
            rest = NOTHING
            for at in range(len(steps), -1, -1):
                more = rest if at == len(steps) else rest | steps[at]
                rest = rest if more == rest else more
                self._rests[actor.session, at] = rest
        return self._rests[key]
