"""The outcome of a run: the results of its transactions, and the final state. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pgchaos.language.problems import Place
from pgchaos.schedule.wait_rules import Actor

Cell: TypeAlias = "str | None"
Row: TypeAlias = "tuple[Cell, ...]"

# of a transaction in its connection: the iteration, from 1, and the number of its first statement, from 0
Position: TypeAlias = "tuple[int, int]"

TxnId: TypeAlias = "tuple[Actor, Position]"  # identifies a transaction of a scenario in all runs

MOST_ORDERS = 5000  # the maximum number of serial orders that are run for one variant of a scenario


def sortable(row: Row) -> list[tuple[bool, str]]:
    """Return a sort key for rows without an order."""
    return [(cell is None, cell or "") for cell in row]


@dataclass(frozen=True, slots=True)
class StatementOutput:
    """One result of a statement, without the columns that are not compared."""

    tag: str  # the command tag, with its count; '' if COPY sent lines
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()  # sorted, unless the statement orders them


@dataclass(frozen=True, slots=True)
class StatementResult:
    """The result of one statement of a transaction."""

    number: int  # of the statement in its session
    sqlstate: str  # '00000' after success
    outputs: tuple[StatementOutput, ...] = ()  # one for a statement, several for a group
    place: Place = field(default=Place("", 0), compare=False)
    text: str = field(default="", compare=False)  # as written


# `out`: it ended with a serialization failure or a deadlock, or did not end, and is in no serial order; `other`: it was
# rolled back or its outcome is unknown, so serial orders are tried with it and without it
Fate: TypeAlias = Literal["committed", "other", "out"]


@dataclass(frozen=True, slots=True)
class OracleTransaction:
    """The last attempt of a transaction in one run."""

    actor: Actor
    position: Position
    fate: Fate
    results: tuple[StatementResult, ...] = ()  # of its statements
    failed: bool = False  # it was ended by an error or a lost connection, and not by ROLLBACK

    @property
    def name(self) -> TxnId:
        """Its identity in other runs."""
        return self.actor, self.position


@dataclass(frozen=True, slots=True)
class Table:
    """The final contents of a table, or of a query of a `state` section."""

    columns: tuple[str, ...]  # without those that are not compared
    rows: tuple[Row, ...]  # sorted, unless a query orders them
    # the primary key of each row; without a key, the row itself. A value of a sequence is replaced by a constant
    keys: tuple[Row, ...] = field(default=(), compare=False)
    # keys contain values of a sequence, so the same row may have another key in another run
    drawn: bool = field(default=False, compare=False)


State: TypeAlias = "Mapping[str, Table]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    transactions: tuple[OracleTransaction, ...]  # in the order of their ends
    state: State  # by the name of the table or query

    def of(self, actor: Actor) -> tuple[OracleTransaction, ...]:
        """Return the transactions of one connection in their order."""
        return tuple(sorted((one for one in self.transactions if one.actor == actor), key=lambda one: one.position))

    def actors(self) -> Iterator[Actor]:
        """Yield the connections that have transactions, in the order in which their first one ended."""
        yield from dict.fromkeys(txn.actor for txn in self.transactions)


@dataclass(frozen=True, slots=True)
class SerialRun:
    """A run of transactions one after the other."""

    path: tuple[Actor, ...]  # the connections of its transactions, in order
    transactions: tuple[OracleTransaction, ...]
    state: State  # at the end
    # why it did not reach its end, in one line, or ''. With a problem, the last connection in `path` is that of the
    # transaction that did not end, and the state is empty
    problem: str = ""
    late: bool = False  # it ran out of time, and others may too
