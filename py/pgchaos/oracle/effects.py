"""Determines what transactions write. Pure.

A transaction wrote in the judged run what it writes in serial runs in which its statements return the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.oracle.difference import adds_or_removes, changed_rows
from pgchaos.oracle.model import OracleTransaction, Row, State, TxnId
from pgchaos.oracle.visibility import Context, fits_no_order, within, writing, written_rows

Key = tuple[str, Row]  # identifies a row: the name of its table, and its key

Rows = tuple[Row, ...]  # the rows with a key: none, one, or several without a primary key

# returns the state after transactions that run one after the other, without any others; None if unknown
After = Callable[[tuple[TxnId, ...]], "State | None"]


def rows_under(state: State, key: Key) -> Rows:
    """Return the rows with a key in a state."""
    name, row = key
    table = state.get(name)
    return () if table is None else tuple(one for at, one in zip(table.keys, table.rows, strict=True) if at == row)


@dataclass(slots=True)
class Effects:
    """What the transactions of a run write. Serial runs are requested when they are needed.

    Methods take transactions with the results of the judged run.
    """

    transactions: Sequence[OracleTransaction]  # the committed transactions
    contexts: Mapping[TxnId, Sequence[Context]]  # the results of each transaction in serial runs
    after: After  # makes serial runs of some of them
    _rows: dict[TxnId, frozenset[Key]] = field(default_factory=dict, init=False)
    _states: dict[tuple[TxnId, ...], State | None] = field(default_factory=dict, init=False)

    def state(self, order: tuple[TxnId, ...]) -> State | None:
        """Return the state after transactions that run one after the other; None if unknown."""
        if order not in self._states:
            self._states[order] = self.after(order)
        return self._states[order]

    def known(self, txn: OracleTransaction) -> bool:
        """Whether it is known what a transaction wrote."""
        return bool(self._pairs(self._alike(txn), txn))

    def rows(self, txn: OracleTransaction) -> frozenset[Key]:
        """Return the rows that a transaction wrote; none if that is unknown."""
        if txn.name not in self._rows:
            found = [changed_rows(*pair) for pair in self._pairs(self._alike(txn), txn)]
            # without a tag that counts rows, only what it writes in every order is certain
            join = frozenset[Key].union if any(writing(txn)) else frozenset[Key].intersection
            self._rows[txn.name] = join(*found) if found else frozenset()
        return self._rows[txn.name]

    def adds_or_removes(self, txn: OracleTransaction) -> bool:
        """Whether a transaction added or removed rows, and did not only change them."""
        return bool(self.rows(txn)) and any(adds_or_removes(*pair) for pair in self._pairs(self._alike(txn), txn))

    def may_write(self, txn: OracleTransaction) -> frozenset[Key]:
        """Return the rows that a transaction may have written.

        If its results are those of no serial run, these are the rows that it writes in any.
        """
        contexts = self._alike(txn) or self.contexts[txn.name]
        return frozenset[Key]().union(*(changed_rows(*pair) for pair in self._pairs(contexts, txn)))

    def leaves(
        self,
        txn: OracleTransaction,
        key: Key,
        among: Collection[TxnId] | None = None,
        after: OracleTransaction | None = None,
    ) -> set[Rows] | None:
        """Return the possible rows with a key after a transaction.

        Args:
            txn: the transaction.
            key: of a row.
            among: the transactions that may precede it; None for all.
            after: a transaction that must precede it, or None.

        Returns:
            Each possibility; None if unknown.
        """
        alike = [one for one in self._alike(txn, among) if after is None or after.name in one.before]
        states = [self.state((*one.before, txn.name)) for one in alike]
        known = [state for state in states if state is not None]
        return {rows_under(state, key) for state in known} if len(known) == len(states) else None

    def depends(self, one: OracleTransaction, other: OracleTransaction, key: Key) -> bool:
        """Whether a transaction leaves other rows with a key if another transaction immediately precedes it."""
        for context in self._alike(one):
            without = self.state((*context.before, one.name))
            after = (*context.before, other.name)
            known = any(nearer.before == after for nearer in self.contexts[one.name])
            state = self.state((*after, one.name)) if known else None
            if without is not None and state is not None and rows_under(without, key) != rows_under(state, key):
                return True
        return False

    def writes_more(self, txn: OracleTransaction) -> bool:
        """Whether a transaction may have written more rows than are known, for example with the value that they had."""
        return written_rows(txn) > len(self.may_write(txn))

    def may_write_unknown(self, txn: OracleTransaction) -> bool:
        """Whether it is unknown what a transaction wrote: its results are those of no serial order."""
        contexts = self.contexts[txn.name]
        if not fits_no_order(txn, contexts):
            return False
        if any(writing(txn)) or not contexts:
            return True
        return len(self._pairs(contexts, txn)) < len(contexts) or bool(self.may_write(txn))

    def _alike(self, txn: OracleTransaction, among: Collection[TxnId] | None = None) -> list[Context]:
        contexts = self.contexts[txn.name]
        chosen = contexts if among is None else within(contexts, among)
        return [one for one in chosen if one.transaction.results == txn.results]

    def _pairs(self, contexts: Sequence[Context], txn: OracleTransaction) -> list[tuple[State, State]]:
        """Return the known pairs of states, without a transaction and with it."""
        pairs = ((self.state(one.before), self.state((*one.before, txn.name))) for one in contexts)
        return [(before, after) for before, after in pairs if before is not None and after is not None]
