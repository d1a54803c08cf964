"""The tables that steps touch, and the steps that commute. Pure.

Two steps commute if they touch no common table, or only read their common tables: an interleaving in which they are
neighbours is equivalent to the one in which they are swapped (Mazurkiewicz, "Trace theory", 1987).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pgchaos.schedule.wait_rules import Actor

# a step of a connection: the iteration, from 1, and the number of the step in the session, from 0
Position: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step touches: tables, and other objects that order steps."""

    reads: frozenset[str] = frozenset()
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
    """The dependence between the steps of a scenario. Until `know` is called, all steps depend on each other.

    If a session waits, tables are not enough to decide: the step that closes a cycle of waits fails, and a step that
    ends a wait completes the step of another session too. Callers handle that (reduction.py).
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
        """Return the footprint of all steps of a connection from a position on; with `behind`, after that position."""
        steps = self._steps.get(actor.session)
        if steps is None:
            return ANYTHING
        iteration, ordinal = position
        first = 0 if iteration < self._lasts[actor.session] else ordinal + behind
        key = actor.session, first
        if key not in self._rests:
            # all at once, from the end: computed one by one, they would take quadratic time
            rest = NOTHING
            for at in range(len(steps), -1, -1):
                more = rest if at == len(steps) else rest | steps[at]
                rest = rest if more == rest else more
                self._rests[actor.session, at] = rest
        return self._rests[key]
