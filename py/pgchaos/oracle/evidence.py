"""The evidence on a run that has the outcome of no serial order, and the anomaly that explains it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pgchaos.language.problems import Place
from pgchaos.oracle.difference import transaction_text
from pgchaos.oracle.effects import After, Effects, Key
from pgchaos.oracle.model import OracleTransaction, State, StatementResult, TxnId
from pgchaos.oracle.visibility import Context, Visibility, visibility_of, within, writing

Among: TypeAlias = "frozenset[TxnId] | None"  # the only other transactions in a question; None: any


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that an anomaly is named by."""

    transactions: Sequence[OracleTransaction]  # those of the judged run that committed, in the order of their ends
    contexts: Mapping[TxnId, Sequence[Context]]  # of each, its results in serial runs
    after: After  # makes serial runs of some of them
    state: State  # after the judged run
    differs: frozenset[Key] = frozenset()  # rows that are not those of the nearest serial order


@dataclass(slots=True)
class Case:
    """Answers questions about the evidence, computing each answer once."""

    evidence: Evidence
    effects: Effects = field(init=False)
    _unknown: frozenset[TxnId] = field(init=False)
    _visibilities: dict[tuple[TxnId, TxnId, Among], Visibility] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        transactions, contexts = self.evidence.transactions, self.evidence.contexts
        self.effects = Effects(transactions, contexts, self.evidence.after)
        self._unknown = frozenset(txn.name for txn in transactions if self.effects.may_write_unknown(txn))

    def visibility(self, one: OracleTransaction, other: OracleTransaction, among: Among) -> Visibility:
        """Find which statements of one saw the other, with any others before it and with only some."""
        key = one.name, other.name, among
        if key not in self._visibilities:
            contexts = self.evidence.contexts[one.name]
            found = visibility_of(one, other, contexts) if self.wrote(other) else Visibility()
            if among is not None:
                there = visibility_of(one, other, within(contexts, among))
                found = Visibility(
                    [result for result in found.unseen if result in there.unseen],
                    [result for result in found.seen if result in there.seen],
                )
            self._visibilities[key] = found
        return self._visibilities[key]

    def wrote(self, txn: OracleTransaction) -> bool:
        """Whether a transaction is known to have written."""
        return any(writing(txn)) or bool(self.effects.rows(txn))

    def has_unknown_writer(self, cycle: Sequence[OracleTransaction]) -> bool:
        """Whether others, whose writes are unknown, may have influenced the results of some."""
        last = max(self.evidence.transactions.index(txn) for txn in cycle)
        # uncommitted work is not seen: transactions that ended later have no part
        earlier = {txn.name for txn in self.evidence.transactions[:last]}
        return bool(self._unknown & earlier - {txn.name for txn in cycle})

    def unseen_writers(self, cycle: Sequence[OracleTransaction]) -> frozenset[TxnId]:
        """Name the others that wrote what is seen nowhere, such as the old value: they can hide another's work."""
        last = max(self.evidence.transactions.index(txn) for txn in cycle)
        others = (txn for txn in self.evidence.transactions[:last] if txn not in cycle)
        return frozenset(txn.name for txn in others if self.effects.writes_more(txn))

    def text(self, txn: OracleTransaction) -> str:
        """Name a transaction for people."""
        return transaction_text(txn, self.evidence.transactions)


UNNAMED = "not serializable"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What went wrong.

    The names are those of Berenson et al., "A Critique of ANSI SQL Isolation Levels" (1995), Adya, "Weak Consistency"
    (1999), and Fekete et al., "A Read-Only Transaction Anomaly" (2004).
    """

    name: str  # or UNNAMED
    why: str = ""  # the cycle of who saw whom, in a sentence; '' where unknown
    place: Place | None = None  # of the statement that it is about; None where unknown
    transactions: tuple[TxnId, ...] = ()  # the transactions of the cycle
    given: tuple[TxnId, ...] = ()  # others without which the results of these would differ
    wrote: frozenset[TxnId] = frozenset()  # of all these, those that wrote, by the explanation
    proof: tuple[tuple[TxnId, StatementResult], ...] = ()  # the statements that prove it, with their transactions


def anomaly(
    kind: str,
    why: str,
    place: Place,
    transactions: Collection[OracleTransaction],
    wrote: Collection[OracleTransaction],
    proof: Sequence[tuple[TxnId, StatementResult]],
) -> Anomaly:
    """Make an anomaly of the transactions of a cycle; nothing is given.

    Args:
        kind: its name, or UNNAMED.
        why: who saw whom, in a sentence.
        place: of the statement that it is about.
        transactions: those of the cycle.
        wrote: of these, those that wrote, by the explanation.
        proof: the statements that prove it, with their transactions.
    """
    names = tuple(txn.name for txn in transactions)
    return Anomaly(kind, why, place, names, (), frozenset(txn.name for txn in wrote), tuple(proof))


def lines_of(result: Sequence[StatementResult]) -> str:
    """List the lines of statements: `line 3`, or `lines 3, 7`."""
    lines = list(dict.fromkeys(one.place.line for one in result))
    return f"line {lines[0]}" if len(lines) == 1 else "lines " + ", ".join(map(str, lines))
