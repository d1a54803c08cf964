"""The position of a connection in its session: the next item, its pending directives, and where a retry begins."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgchaos.engine.interpreter import Interpreter
from pgchaos.language.conditionals import Branches
from pgchaos.language.section_items import Allow, Expect, Fault, Item

_LONGEST = 5.0
"""The longest pause before a retry, in seconds."""


@dataclass(frozen=True, slots=True)
class PendingDirectives:
    """The directives that apply to the next statement."""

    expect: Expect | None = None
    allow: Allow | None = None
    faults: tuple[Fault, ...] = ()


_NOTHING = PendingDirectives()


@dataclass(slots=True)  # not frozen: every transaction has one
class _Start:
    """Where a transaction began, and the state there."""

    index: int
    variables: dict[str, str]
    branches: Branches
    pending: PendingDirectives


class Position:
    """A position in one iteration of a session, from 1; `seed` determines all that is random in it."""

    def __init__(self, items: Sequence[Item], state: Interpreter, iteration: int, seed: str) -> None:
        self.state, self.iteration = state, iteration
        self.retries = 0
        """How often the transaction was retried."""
        self.pending = _NOTHING
        """The directives of the next statement."""
        self._items, self._index = items, 0
        self._begun: _Start | None = None
        self._seed = seed
        self._drawn: random.Random | None = None

    def remaining(self) -> Iterator[Item]:
        """Yield the remaining items, and advance."""
        while self._index < len(self._items):
            self._index += 1
            yield self._items[self._index - 1]

    def random(self) -> float:
        """Draw a number from 0 up to but not 1."""
        if self._drawn is None:
            # lazily: most iterations draw nothing
            self._drawn = random.Random(self._seed)
        return self._drawn.random()

    def take_pending(self) -> PendingDirectives:
        """Return and clear the directives of the statement that is sent now."""
        pending, self.pending = self.pending, _NOTHING
        return pending

    # retries

    def begin(self) -> None:
        """Record that a transaction begins with the last yielded item; a retry of it changes nothing."""
        index = self._index - 1
        if self._begun is None or self._begun.index != index:
            self._begun = _Start(index, dict(self.state.variables), self.state.branches.copy(), self.pending)
            self.retries = 0

    def chain(self) -> None:
        """Record that COMMIT AND CHAIN has opened a block: there is no BEGIN to go back to."""
        self._begun = None

    @property
    def can_go_back(self) -> bool:
        """Whether the transaction began with a statement of the file."""
        return self._begun is not None

    def go_back(self) -> None:
        """Go back to where the transaction began, and restore the state there."""
        begun = self._begun
        assert begun is not None, "see can_go_back"
        self.retries += 1
        self._index, self.pending = begun.index, begun.pending
        self.state.variables, self.state.branches = dict(begun.variables), begun.branches.copy()

    def pause(self, backoff: float) -> float:
        """Return the seconds to wait before a retry: `backoff`, doubled each time, half of it random."""
        longest: float = min(backoff * 2**self.retries, max(backoff, _LONGEST))
        return longest * (0.5 + self.random() / 2)
