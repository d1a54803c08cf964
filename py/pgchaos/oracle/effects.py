"""What transactions write. Pure.

What a transaction wrote in the run that is judged is what it writes in serial runs in which it is told the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.oracle.difference import adds_or_removes, written
from pgchaos.oracle.model import Named, OracleTransaction, Row, State
from pgchaos.oracle.visibility import Context, is_torn, within, writing, written_rows

Key = tuple[str, Row]
"""A row: the name of its table, and its key."""

Left = tuple[Row, ...]
"""What is under a key: nothing, a row, or several where there is no primary key."""

After = Callable[[tuple[Named, ...]], "State | None"]
"""Gives what transactions leave behind that run one after the other, and nobody else; None where that is not known."""


def left(state: State, key: Key) -> Left:
    """Tell what is under a key.

    Args:
        state: what is left.
        key: of a row.
    """
    name, row = key
    table = state.get(name)
    return () if table is None else tuple(one for at, one in zip(table.keys, table.rows, strict=True) if at == row)


@dataclass(slots=True)
class Effects:
    """What the transactions of a run write; serial runs are asked for when they are needed.

    Args:
        units: its committed transactions.
        contexts: of each, what it is told in serial runs.
        after: makes serial runs of some of them.
    """

    units: Sequence[OracleTransaction]
    contexts: Mapping[Named, Sequence[Context]]
    after: After
    _rows: dict[Named, frozenset[Key]] = field(default_factory=dict, init=False)
    _states: dict[tuple[Named, ...], State | None] = field(default_factory=dict, init=False)

    def state(self, order: tuple[Named, ...]) -> State | None:
        """Tell what transactions leave behind, one after the other.

        Args:
            order: which.
        """
        if order not in self._states:
            self._states[order] = self.after(order)
        return self._states[order]

    def known(self, unit: OracleTransaction) -> bool:
        """Say whether it is known what a transaction wrote.

        Args:
            unit: as it went in the run that is judged.
        """
        return bool(self._pairs(self._alike(unit), unit))

    def rows(self, unit: OracleTransaction) -> frozenset[Key]:
        """Tell which rows a transaction wrote; none where that cannot be known.

        Args:
            unit: as it went in the run that is judged.
        """
        if unit.name not in self._rows:
            found = [written(*pair) for pair in self._pairs(self._alike(unit), unit)]
            # where the server has not told that it wrote, what it writes must be the same whoever came before
            join = frozenset[Key].union if any(writing(unit)) else frozenset[Key].intersection
            self._rows[unit.name] = join(*found) if found else frozenset()
        return self._rows[unit.name]

    def moves(self, unit: OracleTransaction) -> bool:
        """Say whether rows came or went by a transaction, and did not change only.

        Args:
            unit: as it went in the run that is judged.
        """
        return bool(self.rows(unit)) and any(adds_or_removes(*pair) for pair in self._pairs(self._alike(unit), unit))

    def may_write(self, unit: OracleTransaction) -> frozenset[Key]:
        """Tell which rows a transaction can have written.

        Args:
            unit: as it went in the run that is judged; one that went as in no serial run can have written what it
                writes in any.
        """
        contexts = self._alike(unit) or self.contexts[unit.name]
        return frozenset[Key]().union(*(written(*pair) for pair in self._pairs(contexts, unit)))

    def leaves(
        self,
        unit: OracleTransaction,
        key: Key,
        among: Collection[Named] | None = None,
        after: OracleTransaction | None = None,
    ) -> set[Left] | None:
        """Tell what a transaction leaves under a key.

        Args:
            unit: as it went in the run that is judged.
            key: of a row.
            among: who may have come before; None for all.
            after: who must have come before.

        Returns:
            All that it can be; None where that is not known.
        """
        alike = [one for one in self._alike(unit, among) if after is None or after.name in one.before]
        states = [self.state((*one.before, unit.name)) for one in alike]
        known = [state for state in states if state is not None]
        return {left(state, key) for state in known} if len(known) == len(states) else None

    def depends(self, one: OracleTransaction, other: OracleTransaction, key: Key) -> bool:
        """Say whether a transaction leaves something else under a key when another comes just before.

        Args:
            one: the transaction.
            other: who may come just before.
            key: of a row.
        """
        for context in self._alike(one):
            without = self.state((*context.before, one.name))
            after = (*context.before, other.name)
            known = any(nearer.before == after for nearer in self.contexts[one.name])
            state = self.state((*after, one.name)) if known else None
            if without is not None and state is not None and left(without, key) != left(state, key):
                return True
        return False

    def writes_more(self, unit: OracleTransaction) -> bool:
        """Say whether a transaction may have written more than is known: what was there before, say.

        Args:
            unit: as it went in the run that is judged.
        """
        return written_rows(unit) > len(self.may_write(unit))

    def may_write_unknown(self, unit: OracleTransaction) -> bool:
        """Say whether nobody knows what a transaction wrote: it was told what it is told in no serial order.

        Args:
            unit: as it went in the run that is judged.
        """
        contexts = self.contexts[unit.name]
        if not is_torn(unit, contexts):
            return False
        if any(writing(unit)) or not contexts:
            return True
        return len(self._pairs(contexts, unit)) < len(contexts) or bool(self.may_write(unit))

    def _alike(self, unit: OracleTransaction, among: Collection[Named] | None = None) -> list[Context]:
        contexts = self.contexts[unit.name]
        chosen = contexts if among is None else within(contexts, among)
        return [one for one in chosen if one.unit.heard == unit.heard]

    def _pairs(self, contexts: Sequence[Context], unit: OracleTransaction) -> list[tuple[State, State]]:
        """Give what is left without a transaction, and with it, as far as that is known."""
        pairs = ((self.state(one.before), self.state((*one.before, unit.name))) for one in contexts)
        return [(before, after) for before, after in pairs if before is not None and after is not None]
