"""Who saw whose work. Pure.

It is found by comparison: each statement of a transaction is held against what it was told in serial runs that have
another transaction before it, and in those that have not. In these runs all that came before was told what it was told
in the run that is judged: what a transaction does in other company only is no work that one could have seen there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.oracle.model import Named, OracleTransaction, StatementResult

_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})
"""Commands whose tags say how many rows they wrote (PostgreSQL docs, "Message Formats", CommandComplete)."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a transaction is told in a serial order.

    Args:
        before: the transactions that it comes after, in order; each was told what it is told in the run that is judged.
        unit: as it went there.
    """

    before: tuple[Named, ...]
    unit: OracleTransaction


@dataclass(slots=True)
class Sight:
    """Who saw what of another transaction.

    Args:
        unseen: the statements that were told what they are told without it.
        seen: those that were told what they are told after it.
    """

    unseen: list[StatementResult] = field(default_factory=list)
    seen: list[StatementResult] = field(default_factory=list)


def sight(one: OracleTransaction, other: OracleTransaction, contexts: Sequence[Context]) -> Sight:
    """Tell which statements of a transaction saw what another did.

    Args:
        one: the transaction, as it went in the run that is judged.
        other: whose work is looked for.
        contexts: what the first is told in serial runs.

    Returns:
        The statements that can have been told what they were only without the other, and only after it; of those that
        are told something else when it comes just before.
    """
    found = Sight()
    told = {context.before: by_number(context.unit) for context in contexts}
    for number, heard in by_number(one).items():
        alike = [other.name in before for before, said in told.items() if said.get(number) == heard]
        if not alike or (any(alike) and not all(alike)) or not _matters(other, number, told):
            continue
        (found.seen if all(alike) else found.unseen).append(heard)
    return found


_Number = tuple[int, int]
_Told = Mapping[tuple[Named, ...], Mapping[_Number, StatementResult]]


def _matters(other: OracleTransaction, number: _Number, told: _Told) -> bool:
    """Say whether a statement is told something else when another transaction comes just before."""
    for before, said in told.items():
        if before and before[-1] == other.name:
            # where it was not reached at all, it is the statements before it that tell
            without = told.get(before[:-1], {}).get(number)
            if without is not None and number in said and said[number] != without:
                return True
    return False


def by_number(unit: OracleTransaction) -> dict[_Number, StatementResult]:
    """Give what was heard by the numbers of the statements; those that go with the next have its number too.

    Args:
        unit: a transaction as it went.
    """
    found: dict[_Number, StatementResult] = {}
    for heard in unit.heard:
        turn = sum(number == heard.number for number, _ in found)
        found[heard.number, turn] = heard
    return found


def is_torn(unit: OracleTransaction, contexts: Sequence[Context]) -> bool:
    """Say whether a transaction was told what it is told in no serial order.

    Args:
        unit: as it went in the run that is judged.
        contexts: what it is told in serial runs.
    """
    return all(context.unit.heard != unit.heard for context in contexts)


def within(contexts: Sequence[Context], names: Collection[Named]) -> list[Context]:
    """Give the contexts in which nobody else came before.

    Args:
        contexts: of a transaction.
        names: who may; what the connections of these, and its own, did earlier may too.
    """
    last = {actor: max(position for one, position in names if one == actor) for actor, _ in names}
    return [
        context
        for context in contexts
        if all(position <= last.get(actor, (0, 0)) or actor == context.unit.actor for actor, position in context.before)
    ]


def writing(unit: OracleTransaction) -> Iterator[StatementResult]:
    """Give the statements of which the server said that they wrote rows.

    Args:
        unit: a transaction as it went.
    """
    for heard in unit.heard:
        if any(_count(got.tag) for got in heard.results):
            yield heard


def written_rows(unit: OracleTransaction) -> int:
    """Count the rows that a transaction wrote, as often as it did, by what the server said.

    Args:
        unit: a transaction as it went.
    """
    return sum(_count(got.tag) for heard in unit.heard for got in heard.results)


def _count(tag: str) -> int:
    verb, *rest = tag.split()[:3] or [""]
    return int(rest[-1]) if verb in _WRITES and rest and rest[-1].isdigit() else 0
