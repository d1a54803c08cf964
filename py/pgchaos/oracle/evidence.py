"""The evidence about a run whose outcome is that of no serial order, and the anomaly that explains it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pgchaos.language.problems import Place
from pgchaos.oracle.difference import transaction_text
from pgchaos.oracle.effects import After, Effects, Key
from pgchaos.oracle.model import OracleTransaction, State, StatementResult, TxnId
from pgchaos.oracle.visibility import Context, Visibility, visibility_of, within, writing

Among: TypeAlias = "frozenset[TxnId] | None"  # the only transactions that are considered; None: all


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts from which an anomaly is named."""

    transactions: Sequence[OracleTransaction]  # the committed transactions of the judged run, in order of their ends
    contexts: Mapping[TxnId, Sequence[Context]]  # the results of each transaction in serial runs
    after: After  # makes serial runs of some of them
    state: State  # after the judged run
    differs: frozenset[Key] = frozenset()  # rows that differ from those of the nearest serial order


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
        """Find which statements of one transaction saw another, both with all others and with only those in `among`."""
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
        """Whether other transactions, whose writes are unknown, may have influenced the results of a cycle."""
        last = max(self.evidence.transactions.index(txn) for txn in cycle)
        # uncommitted changes are invisible, so transactions that ended later had no influence
        earlier = {txn.name for txn in self.evidence.transactions[:last]}
        return bool(self._unknown & earlier - {txn.name for txn in cycle})

    def unseen_writers(self, cycle: Sequence[OracleTransaction]) -> frozenset[TxnId]:
        """Return the other transactions with invisible writes, such as the old value: they can hide other changes."""
        last = max(self.evidence.transactions.index(txn) for txn in cycle)
        others = (txn for txn in self.evidence.transactions[:last] if txn not in cycle)
        return frozenset(txn.name for txn in others if self.effects.writes_more(txn))

    def text(self, txn: OracleTransaction) -> str:
        """Name a transaction for a message."""
        return transaction_text(txn, self.evidence.transactions)


UNNAMED = "not serializable"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An anomaly, with its explanation.

    The names are those of Berenson et al., "A Critique of ANSI SQL Isolation Levels" (1995), Adya, "Weak Consistency"
    (1999), and Fekete et al., "A Read-Only Transaction Anomaly" (2004).
    """

    name: str  # or UNNAMED
    why: str = ""  # the cycle, in a sentence about which transaction saw which; '' if unknown
    place: Place | None = None  # the most relevant statement; None if unknown
    transactions: tuple[TxnId, ...] = ()  # the transactions of the cycle
    given: tuple[TxnId, ...] = ()  # other transactions on which the results of these depend
    wrote: frozenset[TxnId] = frozenset()  # the transactions of the cycle that wrote, according to the explanation
    proof: tuple[tuple[TxnId, StatementResult], ...] = ()  # the statements that prove it, with their transactions


def anomaly(
    kind: str,
    why: str,
    place: Place,
    transactions: Collection[OracleTransaction],
    wrote: Collection[OracleTransaction],
    proof: Sequence[tuple[TxnId, StatementResult]],
) -> Anomaly:
    """Return an anomaly of the transactions of a cycle, without `given`; see Anomaly for the arguments."""
    names = tuple(txn.name for txn in transactions)
    return Anomaly(kind, why, place, names, (), frozenset(txn.name for txn in wrote), tuple(proof))


def lines_of(result: Sequence[StatementResult]) -> str:
    """Format the lines of statements: `line 3`, or `lines 3, 7`."""
    lines = list(dict.fromkeys(one.place.line for one in result))
    return f"line {lines[0]}" if len(lines) == 1 else "lines " + ", ".join(map(str, lines))
