"""The tables that steps touch, and so which steps commute. Pure.

Two steps that touch no common table, or only read their common tables, commute: an interleaving in which they are
neighbours is equivalent to the one with the two swapped (Mazurkiewicz, "Trace theory", 1987).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pgchaos.schedule.wait_rules import Actor

Position: TypeAlias = tuple[int, int]  # a step of a connection: its iteration from 1, its number in the session from 0


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step touches."""

    reads: frozenset[str] = frozenset()  # tables, or other things that order steps
    writes: frozenset[str] = frozenset()  # what it changes or locks
    anything: bool = False  # unknown: it may touch anything

    def __or__(self, other: Footprint) -> Footprint:
        return Footprint(self.reads | other.reads, self.writes | other.writes, self.anything or other.anything)

    def independent(self, other: Footprint) -> bool:
        """Whether steps of two connections with these footprints commute."""
        if self.anything or other.anything:
            return False
        return not (self.writes & (other.reads | other.writes) or self.reads & other.writes)


ANYTHING = Footprint(anything=True)
NOTHING = Footprint()


def union(some: Iterable[Footprint]) -> Footprint:
    """Join footprints."""
    all_ = NOTHING
    for one in some:
        all_ |= one
    return all_


class Dependence:
    """Which steps of a scenario depend on each other: all of them, until `know` is called.

    Where a session waits, more than tables matters: the step that closes a cycle of waits fails, and a step that ends a
    wait completes the other's step too. Callers handle that (sleep_sets.py).
    """

    def __init__(self) -> None:
        self._steps: Mapping[str, Sequence[Footprint]] = {}
        self._lasts: Mapping[str, int] = {}
        self._rests: dict[tuple[str, int], Footprint] = {}

    def know(self, steps: Mapping[str, Sequence[Footprint]], lasts: Mapping[str, int]) -> None:
        """Set the footprints of each session's steps, in order, and how often each session repeats them."""
        self._steps, self._lasts = steps, lasts
        self._rests.clear()

    @property
    def known(self) -> bool:
        """Whether some steps may be independent."""
        return bool(self._steps)

    def of(self, actor: Actor, position: Position) -> Footprint:
        """Return the footprint of one step."""
        steps = self._steps.get(actor.session)
        return ANYTHING if steps is None else steps[position[1]]

    def rest(self, actor: Actor, position: Position, *, behind: bool) -> Footprint:
        """Return the footprint of all steps of a connection from one on; `behind` leaves out that one."""
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
