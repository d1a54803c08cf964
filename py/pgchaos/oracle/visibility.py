"""Determines which transactions saw the changes of which others. Pure.

The results of each statement are compared with those in serial runs with and without another transaction before it. In
these serial runs all earlier transactions have the results of the judged run, so they made the same changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.oracle.model import OracleTransaction, StatementResult, TxnId

# commands whose tags count written rows (PostgreSQL docs, "Message Formats", CommandComplete)
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})


@dataclass(frozen=True, slots=True)
class Context:
    """The results of a transaction in a serial order."""

    before: tuple[TxnId, ...]  # the transactions before it, in order, each with its results of the judged run
    transaction: OracleTransaction  # with its results in this serial order


@dataclass(slots=True)
class Visibility:
    """Which statements of a transaction saw the changes of another."""

    unseen: list[StatementResult] = field(default_factory=list)  # their results occur only without the other before
    seen: list[StatementResult] = field(default_factory=list)  # their results occur only after the other


def visibility_of(one: OracleTransaction, other: OracleTransaction, contexts: Sequence[Context]) -> Visibility:
    """Determine which statements of a transaction saw the changes of another.

    Args:
        one: the transaction, with the results of the judged run.
        other: the other transaction.
        contexts: the results of the first in serial runs.

    Returns:
        The statements whose results are possible only without the other, or only after it. Only statements are
        considered whose results change if the other immediately precedes.
    """
    found = Visibility()
    by_context = {context.before: by_number(context.transaction) for context in contexts}
    for number, result in by_number(one).items():
        alike = [other.name in before for before, results in by_context.items() if results.get(number) == result]
        if not alike or (any(alike) and not all(alike)) or not _matters(other, number, by_context):
            continue
        (found.seen if all(alike) else found.unseen).append(result)
    return found


_Number = tuple[int, int]
_Results = Mapping[tuple[TxnId, ...], Mapping[_Number, StatementResult]]


def _matters(other: OracleTransaction, number: _Number, by_context: _Results) -> bool:
    """Whether a statement returns a different result if another transaction immediately precedes."""
    for before, results in by_context.items():
        if before and before[-1] == other.name:
            # if the statement is not reached in one of the runs, an earlier statement shows the difference
            without = by_context.get(before[:-1], {}).get(number)
            if without is not None and number in results and results[number] != without:
                return True
    return False


def by_number(txn: OracleTransaction) -> dict[_Number, StatementResult]:
    """Index the results by number; a second part distinguishes local statements, which share the next one's number."""
    found: dict[_Number, StatementResult] = {}
    for result in txn.results:
        turn = sum(number == result.number for number, _ in found)
        found[result.number, turn] = result
    return found


def fits_no_order(txn: OracleTransaction, contexts: Sequence[Context]) -> bool:
    """Whether the results of a transaction are those of no serial order."""
    return all(context.transaction.results != txn.results for context in contexts)


def within(contexts: Sequence[Context], names: Collection[TxnId]) -> list[Context]:
    """Return the contexts in which only these transactions precede, and earlier ones of their connections."""
    last = {actor: max(position for one, position in names if one == actor) for actor, _ in names}
    return [
        context
        for context in contexts
        if all(
            position <= last.get(actor, (0, 0)) or actor == context.transaction.actor
            for actor, position in context.before
        )
    ]


def writing(txn: OracleTransaction) -> Iterator[StatementResult]:
    """Yield the statements that wrote rows, according to their command tags."""
    for result in txn.results:
        if any(_count(got.tag) for got in result.outputs):
            yield result


def written_rows(txn: OracleTransaction) -> int:
    """Count the rows that a transaction wrote, according to its command tags; a row counts each time."""
    return sum(_count(got.tag) for result in txn.results for got in result.outputs)


def _count(tag: str) -> int:
    verb, *rest = tag.split()[:3] or [""]
    return int(rest[-1]) if verb in _WRITES and rest and rest[-1].isdigit() else 0
