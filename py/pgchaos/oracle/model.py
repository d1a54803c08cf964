"""What is compared: what transactions were told, and what they left behind. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pgchaos.language.problems import Place
from pgchaos.schedule.wait_rules import Actor

Cell: TypeAlias = "str | None"
Row: TypeAlias = "tuple[Cell, ...]"

Position: TypeAlias = "tuple[int, int]"
"""Where a transaction stands in the course of its connection: iteration, from 1, and number of its first statement."""

Named: TypeAlias = "tuple[Actor, Position]"
"""A transaction of a scenario, the same in each of its runs."""

MOST_ORDERS = 5000
"""Serial orders that are run for one variant of a scenario (DESIGN.md, Search)."""


def sortable(row: Row) -> list[tuple[bool, str]]:
    """Give what rows are sorted by where a statement asks for no order."""
    return [(cell is None, cell or "") for cell in row]


@dataclass(frozen=True, slots=True)
class StatementOutput:
    """One result of a statement, without what is left out.

    Args:
        tag: of the command, with its count; '' where COPY sent lines.
        columns: their names.
        rows: in an order of their own, unless the statement asks for one.
    """

    tag: str
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class StatementResult:
    """What one statement of a transaction was told.

    Args:
        number: of the statement in its session.
        sqlstate: '00000' after success.
        results: a statement has one, a group has several.
        place: its line.
        text: as written.
    """

    number: int
    sqlstate: str
    results: tuple[StatementOutput, ...] = ()
    place: Place = field(default=Place("", 0), compare=False)
    text: str = field(default="", compare=False)


Fate: TypeAlias = Literal["committed", "other", "out"]
"""What became of a transaction: `out` ended in a serialization failure or a deadlock, or never ended, and is in no
serial order; `other` was rolled back or has an unknown outcome, and is tried with and without."""


@dataclass(frozen=True, slots=True)
class OracleTransaction:
    """A transaction as it went: its last attempt.

    Args:
        actor: the connection.
        position: where it stands in the course of that.
        fate: what became of it.
        heard: what its statements were told.
        failed: an error or a lost connection ended it, and not its author.
    """

    actor: Actor
    position: Position
    fate: Fate
    heard: tuple[StatementResult, ...] = ()
    failed: bool = False

    @property
    def name(self) -> Named:
        """By which it is known in other runs."""
        return self.actor, self.position


@dataclass(frozen=True, slots=True)
class Table:
    """What a table, or a query of a `state` section, holds at the end.

    Args:
        columns: their names, without those left out.
        rows: in an order of their own, unless a query asks for one.
        keys: of each row what tells it from others, its primary key; the row itself where there is none. A key that
            is drawn from a sequence is told by its own word.
        drawn: the keys hold what a sequence gave, so that the same row may have another key in another run.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    keys: tuple[Row, ...] = field(default=(), compare=False)
    drawn: bool = field(default=False, compare=False)


State: TypeAlias = "Mapping[str, Table]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Args:
        units: its transactions, in the order in which they ended.
        state: what it left behind, by the name of the table or query.
    """

    units: tuple[OracleTransaction, ...]
    state: State

    def of(self, actor: Actor) -> tuple[OracleTransaction, ...]:
        """Give the transactions of one connection in their own order."""
        return tuple(sorted((unit for unit in self.units if unit.actor == actor), key=lambda unit: unit.position))

    def actors(self) -> Iterator[Actor]:
        """Give the connections that have transactions, by the end of their first."""
        yield from dict.fromkeys(unit.actor for unit in self.units)


@dataclass(frozen=True, slots=True)
class SerialRun:
    """A run of transactions one after the other.

    Args:
        path: whose turn it was, of turns in which a transaction ended.
        units: which transaction that was.
        state: what is left at the end.
        problem: why it did not come to its end, in one line, or ''. Then the last of `path` is the turn in which it
            stopped, its unit is of no account, and the state is empty.
        late: that was because its time was over, as that of others may be.
    """

    path: tuple[Actor, ...]
    units: tuple[OracleTransaction, ...]
    state: State
    problem: str = ""
    late: bool = False
