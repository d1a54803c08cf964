"""The outcome of a run: the results of its transactions, and the final state. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pgchaos.language.problems import Place
from pgchaos.schedule.wait_rules import Actor

Cell: TypeAlias = "str | None"
Row: TypeAlias = "tuple[Cell, ...]"

# of a transaction in its connection: the iteration, from 1, and the number of its first statement
Position: TypeAlias = "tuple[int, int]"

TxnId: TypeAlias = "tuple[Actor, Position]"  # a transaction of a scenario, the same in each of its runs

MOST_ORDERS = 5000  # serial orders that are run for one variant of a scenario


def sortable(row: Row) -> list[tuple[bool, str]]:
    """Return a sort key for rows without an order."""
    return [(cell is None, cell or "") for cell in row]


@dataclass(frozen=True, slots=True)
class StatementOutput:
    """One result of a statement, without what is left out."""

    tag: str  # of the command, with its count; '' where COPY sent lines
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()  # sorted, unless the statement orders them


@dataclass(frozen=True, slots=True)
class StatementResult:
    """What one statement of a transaction returned."""

    number: int  # of the statement in its session
    sqlstate: str  # '00000' after success
    outputs: tuple[StatementOutput, ...] = ()  # one of a statement, several of a group
    place: Place = field(default=Place("", 0), compare=False)
    text: str = field(default="", compare=False)  # as written


# `out`: ended in a serialization failure or a deadlock, or never, and is in no serial order; `other`: rolled back or of
# unknown outcome, and is tried with and without
Fate: TypeAlias = Literal["committed", "other", "out"]


@dataclass(frozen=True, slots=True)
class OracleTransaction:
    """A transaction as it went: its last attempt."""

    actor: Actor
    position: Position
    fate: Fate
    results: tuple[StatementResult, ...] = ()  # the results of its statements
    failed: bool = False  # an error or a lost connection ended it, not its author

    @property
    def name(self) -> TxnId:
        """Its identity in other runs."""
        return self.actor, self.position


@dataclass(frozen=True, slots=True)
class Table:
    """The final contents of a table, or of a query of a `state` section."""

    columns: tuple[str, ...]  # without those left out
    rows: tuple[Row, ...]  # sorted, unless a query orders them
    # the primary key of each row; the row itself where there is none. A key from a sequence is replaced by a word
    keys: tuple[Row, ...] = field(default=(), compare=False)
    # keys hold values of a sequence: the same row may have another key in another run
    drawn: bool = field(default=False, compare=False)


State: TypeAlias = "Mapping[str, Table]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    transactions: tuple[OracleTransaction, ...]  # its transactions, in the order of their ends
    state: State  # by the name of the table or query

    def of(self, actor: Actor) -> tuple[OracleTransaction, ...]:
        """Return the transactions of one connection in their own order."""
        return tuple(sorted((one for one in self.transactions if one.actor == actor), key=lambda one: one.position))

    def actors(self) -> Iterator[Actor]:
        """List the connections that have transactions, by the end of their first."""
        yield from dict.fromkeys(txn.actor for txn in self.transactions)


@dataclass(frozen=True, slots=True)
class SerialRun:
    """A run of transactions one after the other."""

    path: tuple[Actor, ...]  # the connections whose transactions ended, in order
    transactions: tuple[OracleTransaction, ...]  # their transactions
    state: State  # at the end
    # why it did not reach its end, in one line, or ''. Then the last of `path` is where it stopped, without its
    # transaction, and the state is empty
    problem: str = ""
    late: bool = False  # it ran out of time, as others may
