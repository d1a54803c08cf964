"""A database in a dict, on which transactions run one after the other, or as an interleaving says: for pure tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.language.problems import Place
from pgchaos.oracle.model import OracleTransaction, Outcome, SerialRun, StatementOutput, StatementResult, Table
from pgchaos.oracle.serial_search import SerialOrders, Undecided, Wanted, find
from pgchaos.schedule.wait_rules import Actor

Rows = dict[str, int]
Step = Callable[[Rows, dict[str, int]], "str | None"]
"""Reads and writes rows, and the transaction's own variables; gives what it is told, None where it is not reached."""
Transaction = Sequence[Step]

A, B, C = Actor("a", 1), Actor("b", 1), Actor("c", 1)


def read(key: str) -> Step:
    """Read a row into a variable."""

    def step(rows: Rows, own: dict[str, int]) -> str:
        own[key] = rows.get(key, -1)
        return str(own[key])

    return step


def write(key: str, value: Callable[[dict[str, int]], int]) -> Step:
    """Write a row, from what was read."""

    def step(rows: Rows, own: dict[str, int]) -> str:
        rows[key] = value(own)
        return "UPDATE 1"

    return step


def only_if(holds: Callable[[dict[str, int]], bool], what: Step) -> Step:
    """Reach a step only where something was read before."""

    def step(rows: Rows, own: dict[str, int]) -> str | None:
        return what(rows, own) if holds(own) else None

    return step


def result(number: int, reported: str) -> StatementResult:
    writes = reported.startswith("UPDATE ")
    got = StatementOutput(reported) if writes else StatementOutput("SELECT 1", ("value",), ((reported,),))
    return StatementResult(number, "00000", (got,), Place("t.sql", number + 1), f"step {number}")


def state(rows: Rows) -> dict[str, Table]:
    """Give rows as the one table."""
    held = tuple((key, str(value)) for key, value in sorted(rows.items()))
    return {"row": Table(("id", "value"), held, tuple((key,) for key, _ in held))}


class _Rows(Rows):
    """Rows that know which of them were written."""

    def __init__(self, rows: Rows | None = None) -> None:
        super().__init__(rows or {})
        self.written: set[str] = set()

    def __setitem__(self, key: str, value: int) -> None:
        self.written.add(key)
        super().__setitem__(key, value)


@dataclass(slots=True)
class Toy:
    """A scenario: what each connection does, one transaction after the other; `ran` keeps the serial runs asked for."""

    does: Mapping[Actor, Sequence[Transaction]]
    rows: Rows
    ran: list[tuple[Actor, ...]] = field(default_factory=list)

    def serial(self, wanted: Wanted) -> SerialRun:
        """Run in an order, without what is left out."""
        rows, path, transactions = dict(self.rows), [], []
        todo = {
            actor: [n for n in range(len(all_)) if (actor, (1, n * 10)) not in wanted.left_out]
            for actor, all_ in self.does.items()
        }
        wishes = [*wanted.prefix, *wanted.rest, *(actor for actor, left in todo.items() for _ in left)]
        for actor in wishes:
            if todo[actor]:
                number = todo[actor].pop(0)
                own: dict[str, int] = {}
                reported = [step(rows, own) for step in self.does[actor][number]]
                path.append(actor)
                transactions.append(txn(actor, number, reported))
        self.ran.append(tuple(path))
        return SerialRun(tuple(path), tuple(transactions), state(rows))

    def interleaved(self, order: Sequence[Actor]) -> Outcome:
        """Run step by step as nothing protects; each connection has one transaction of which all steps are listed.

        Connections that are not in the order have no part in it.
        """
        rows = dict(self.rows)
        own: dict[Actor, dict[str, int]] = {actor: {} for actor in self.does}
        reported: dict[Actor, list[str | None]] = {actor: [] for actor in self.does}
        transactions = []
        for actor in order:
            steps = self.does[actor][0]
            reported[actor].append(steps[len(reported[actor])](rows, own[actor]))
            if len(reported[actor]) == len(steps):
                transactions.append(txn(actor, 0, reported[actor]))
        return Outcome(tuple(transactions), state(rows))

    def committed(self, order: Sequence[Actor]) -> tuple[Outcome, list[Actor]] | None:
        """Run step by step as PostgreSQL's READ COMMITTED does: nobody sees or writes over what is not committed.

        Who would waits until the other has ended. Gives the order as it went too; None where they wait for each other.
        """
        went: list[Actor] = []
        rows, left = dict(self.rows), list(order)
        mine: dict[Actor, _Rows] = {actor: _Rows() for actor in order}
        own: dict[Actor, dict[str, int]] = {actor: {} for actor in order}
        reported: dict[Actor, list[str | None]] = {actor: [] for actor in order}
        transactions: list[OracleTransaction] = []
        while left:
            for actor in dict.fromkeys(left):
                view, variables = _Rows(rows | mine[actor]), dict(own[actor])
                said = self.does[actor][0][len(reported[actor])](view, variables)
                if any(view.written & other.keys() for one, other in mine.items() if one != actor):
                    continue
                mine[actor].update({key: view[key] for key in view.written})
                own[actor] = variables
                reported[actor].append(said)
                left.remove(actor)
                went.append(actor)
                if actor not in left:
                    rows |= mine[actor]
                    mine[actor].clear()
                    transactions.append(txn(actor, 0, reported[actor]))
                break
            else:
                return None
        return Outcome(tuple(transactions), state(rows)), went

    def interleavings(self) -> Iterator[tuple[Actor, ...]]:
        """Give all orders of the steps of one transaction each."""
        steps = [actor for actor, all_ in self.does.items() for _ in all_[0]]
        yield from sorted(set(itertools.permutations(steps)))

    def judge(self, outcome: Outcome, known: SerialOrders) -> SerialRun | None:
        """Find a serial order as the engine does."""
        while isinstance(found := find(outcome, known), Wanted):
            known.learn(found, self.serial(found))
        assert not isinstance(found, Undecided)
        return found


def txn(actor: Actor, number: int, reported: Sequence[str | None]) -> OracleTransaction:
    """Make a committed transaction."""
    said = tuple(result(number * 10 + n, one) for n, one in enumerate(reported) if one is not None)
    return OracleTransaction(actor, (1, number * 10), "committed", said)


def outcome_of(run: SerialRun) -> Outcome:
    """Take a serial run for a concurrent one."""
    return Outcome(run.transactions, run.state)
