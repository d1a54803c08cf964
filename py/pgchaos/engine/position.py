"""Where a connection stands in its session: what comes next, what was said of it, and where to go back to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgchaos.engine.interpreter import Interpreter
from pgchaos.language.conditionals import Branches
from pgchaos.language.section_items import Allow, Expect, Fault, Item

_LONGEST = 5.0
"""Seconds that the pause before a retry grows to."""


@dataclass(frozen=True, slots=True)
class PendingDirectives:
    """What the directives before a statement say of it."""

    expect: Expect | None = None
    allow: Allow | None = None
    faults: tuple[Fault, ...] = ()


_NOTHING = PendingDirectives()


@dataclass(slots=True)  # not frozen: every transaction has one
class _Start:
    """Where a transaction began, and how things stood there."""

    index: int
    variables: dict[str, str]
    branches: Branches
    pending: PendingDirectives


class Position:
    """A place in one iteration of a session, from 1; `seed` is of all that is random in it."""

    def __init__(self, items: Sequence[Item], state: Interpreter, iteration: int, seed: str) -> None:
        self.state, self.iteration = state, iteration
        self.retries = 0
        """How often the transaction was sent again."""
        self.pending = _NOTHING
        """What was said of the next statement."""
        self._items, self._index = items, 0
        self._begun: _Start | None = None
        self._seed = seed
        self._drawn: random.Random | None = None

    def rest(self) -> Iterator[Item]:
        """Go past one item after the other."""
        while self._index < len(self._items):
            self._index += 1
            yield self._items[self._index - 1]

    def random(self) -> float:
        """Draw a number from 0 up to but not 1."""
        if self._drawn is None:
            # not before: most ask for nothing
            self._drawn = random.Random(self._seed)
        return self._drawn.random()

    def take_pending(self) -> PendingDirectives:
        """Take what was said of the statement that is sent now."""
        pending, self.pending = self.pending, _NOTHING
        return pending

    # to and fro

    def begin(self) -> None:
        """Note that a transaction begins with the item that was gone past last, unless it is the same one again."""
        index = self._index - 1
        if self._begun is None or self._begun.index != index:
            self._begun = _Start(index, dict(self.state.variables), self.state.branches.copy(), self.pending)
            self.retries = 0

    def chain(self) -> None:
        """Note that COMMIT AND CHAIN has opened a block: there is no BEGIN to go back to."""
        self._begun = None

    @property
    def can_go_back(self) -> bool:
        """Say whether the transaction began with a statement of the file."""
        return self._begun is not None

    def go_back(self) -> None:
        """Go back to where the transaction began, with everything as it stood there."""
        begun = self._begun
        assert begun is not None, "asked before"
        self.retries += 1
        self._index, self.pending = begun.index, begun.pending
        self.state.variables, self.state.branches = dict(begun.variables), begun.branches.copy()

    def pause(self, backoff: float) -> float:
        """Tell the seconds to wait before going back: `backoff`, doubled each time, and half of it by chance."""
        longest: float = min(backoff * 2**self.retries, max(backoff, _LONGEST))
        return longest * (0.5 + self.random() / 2)
