"""What transactions write. Pure.

What a transaction wrote in the judged run is what it writes in serial runs in which it gets the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.oracle.difference import adds_or_removes, changed_rows
from pgchaos.oracle.model import OracleTransaction, Row, State, TxnId
from pgchaos.oracle.visibility import Context, fits_no_order, within, writing, written_rows

Key = tuple[str, Row]  # A row: the name of its table, and its key

Rows = tuple[Row, ...]  # the rows under a key: none, one, or several where there is no primary key

# returns the state after transactions run one after the other, without any others; None where unknown
After = Callable[[tuple[TxnId, ...]], "State | None"]


def rows_under(state: State, key: Key) -> Rows:
    """List the rows under a key in a state."""
    name, row = key
    table = state.get(name)
    return () if table is None else tuple(one for at, one in zip(table.keys, table.rows, strict=True) if at == row)


@dataclass(slots=True)
class Effects:
    """What the transactions of a run write; serial runs are requested when they are needed.

    Transactions are passed as they went in the judged run.
    """

    transactions: Sequence[OracleTransaction]  # the committed transactions
    contexts: Mapping[TxnId, Sequence[Context]]  # of each, its results in serial runs
    after: After  # makes serial runs of some of them
    _rows: dict[TxnId, frozenset[Key]] = field(default_factory=dict, init=False)
    _states: dict[tuple[TxnId, ...], State | None] = field(default_factory=dict, init=False)

    def state(self, order: tuple[TxnId, ...]) -> State | None:
        """Return the state after transactions, one after the other."""
        if order not in self._states:
            self._states[order] = self.after(order)
        return self._states[order]

    def known(self, txn: OracleTransaction) -> bool:
        """Whether it is known what a transaction wrote."""
        return bool(self._pairs(self._alike(txn), txn))

    def rows(self, txn: OracleTransaction) -> frozenset[Key]:
        """List the rows that a transaction wrote; none where that cannot be known."""
        if txn.name not in self._rows:
            found = [changed_rows(*pair) for pair in self._pairs(self._alike(txn), txn)]
            # where no tag counts rows, only what it writes in every order is known to be written
            join = frozenset[Key].union if any(writing(txn)) else frozenset[Key].intersection
            self._rows[txn.name] = join(*found) if found else frozenset()
        return self._rows[txn.name]

    def adds_or_removes(self, txn: OracleTransaction) -> bool:
        """Whether a transaction added or removed rows, and did not change them only."""
        return bool(self.rows(txn)) and any(adds_or_removes(*pair) for pair in self._pairs(self._alike(txn), txn))

    def may_write(self, txn: OracleTransaction) -> frozenset[Key]:
        """List the rows that a transaction can have written.

        One that went as in no serial run can have written what it writes in any.
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
        """List what a transaction can leave under a key.

        Args:
            txn: the transaction.
            key: of a row.
            among: the transactions that may precede it; None for all.
            after: the one that must precede it.

        Returns:
            All possible rows; None where unknown.
        """
        alike = [one for one in self._alike(txn, among) if after is None or after.name in one.before]
        states = [self.state((*one.before, txn.name)) for one in alike]
        known = [state for state in states if state is not None]
        return {rows_under(state, key) for state in known} if len(known) == len(states) else None

    def depends(self, one: OracleTransaction, other: OracleTransaction, key: Key) -> bool:
        """Whether a transaction leaves other rows under a key when another one comes just before."""
        for context in self._alike(one):
            without = self.state((*context.before, one.name))
            after = (*context.before, other.name)
            known = any(nearer.before == after for nearer in self.contexts[one.name])
            state = self.state((*after, one.name)) if known else None
            if without is not None and state is not None and rows_under(without, key) != rows_under(state, key):
                return True
        return False

    def writes_more(self, txn: OracleTransaction) -> bool:
        """Whether a transaction may have written more than is known, such as the value that was there before."""
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
        """Return the states without a transaction and with it, as far as they are known."""
        pairs = ((self.state(one.before), self.state((*one.before, txn.name))) for one in contexts)
        return [(before, after) for before, after in pairs if before is not None and after is not None]
