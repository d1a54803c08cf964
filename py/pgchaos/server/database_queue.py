"""Databases of one kind, by their extensions: how many there are, how many are wanted, and what is to be done next."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class DatabaseQueue:
    """The databases that have the same extensions.

    Args:
        extensions: which.
        template: what they are cloned from; '' where it is not made yet.
        refused: why the server cannot make any, or ''.
        ready: made and not taken.
        unchanged: were lent, and are as they were made.
        waiting: how many are waited for.
        spares: how many shall be ready besides.
        making: how many are being made.
        out: how many are lent, and perhaps coming back unchanged.
    """

    extensions: tuple[str, ...]
    template: str = ""
    refused: str = ""
    ready: deque[str] = field(default_factory=deque)
    unchanged: list[str] = field(default_factory=list)
    waiting: int = 0
    spares: int = 0
    making: int = 0
    out: int = 0

    def lacks(self, number: int) -> bool:
        """Say whether one more is to be made for so many to be there."""
        if self.refused or (self.making and not self.template):
            # the template comes first, and once
            return False
        return len(self.ready) + self.making < number

    def is_slow(self) -> bool:
        """Say whether several are waited for that two could make at once."""
        return bool(self.template) and self.waiting - len(self.ready) > 1


@dataclass(frozen=True, slots=True, eq=False)
class CreateJob:
    """One database is to be made."""

    stock: DatabaseQueue


@dataclass(frozen=True, slots=True, eq=False)
class DropJob:
    """One database is to be dropped."""

    name: str


def next_to_create(stocks: Collection[DatabaseQueue]) -> DatabaseQueue | None:
    """Choose whose database is to be made: who waits is served before what is made ahead."""
    for stock in stocks:
        if stock.lacks(stock.waiting):
            return stock
    return next((stock for stock in stocks if stock.lacks(stock.spares)), None)
