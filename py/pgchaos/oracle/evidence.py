"""A run that has the outcome of no serial order, and what is known of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pgchaos.oracle.difference import unit_text
from pgchaos.oracle.effects import After, Effects, Key
from pgchaos.oracle.model import Named, OracleTransaction, State
from pgchaos.oracle.visibility import Context, Sight, sight, within, writing

Among: TypeAlias = "frozenset[Named] | None"
"""The transactions in whose company something is asked; None: in any."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a name is found by.

    Args:
        units: the committed transactions of the run that is judged, in the order in which they ended.
        contexts: of each, what it is told in serial runs.
        after: makes serial runs of some of them.
        state: what the run that is judged left behind.
        differs: rows that are not those of the nearest serial order.
    """

    units: Sequence[OracleTransaction]
    contexts: Mapping[Named, Sequence[Context]]
    after: After
    state: State
    differs: frozenset[Key] = frozenset()


@dataclass(slots=True)
class Case:
    """What is asked of the evidence, each thing worked out once.

    Args:
        evidence: on the run.
    """

    evidence: Evidence
    effects: Effects = field(init=False)
    _unknown: frozenset[Named] = field(init=False)
    _sights: dict[tuple[Named, Named, Among], Sight] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        units, contexts = self.evidence.units, self.evidence.contexts
        self.effects = Effects(units, contexts, self.evidence.after)
        self._unknown = frozenset(unit.name for unit in units if self.effects.may_write_unknown(unit))

    def sight(self, one: OracleTransaction, other: OracleTransaction, among: Among) -> Sight:
        """Tell which statements of one saw the other, in any company and in that of some alone."""
        key = one.name, other.name, among
        if key not in self._sights:
            contexts = self.evidence.contexts[one.name]
            found = sight(one, other, contexts) if self.wrote(other) else Sight()
            if among is not None:
                there = sight(one, other, within(contexts, among))
                found = Sight(
                    [heard for heard in found.unseen if heard in there.unseen],
                    [heard for heard in found.seen if heard in there.seen],
                )
            self._sights[key] = found
        return self._sights[key]

    def wrote(self, unit: OracleTransaction) -> bool:
        """Say whether a transaction is known to have written."""
        return any(writing(unit)) or bool(self.effects.rows(unit))

    def hides(self, ring: Sequence[OracleTransaction]) -> bool:
        """Say whether others may have had a part in what some were told, of whom it is not known what they wrote."""
        last = max(self.evidence.units.index(unit) for unit in ring)
        # what is not committed nobody sees: who ended later has none
        earlier = {unit.name for unit in self.evidence.units[:last]}
        return bool(self._unknown & earlier - {unit.name for unit in ring})

    def silent(self, ring: Sequence[OracleTransaction]) -> frozenset[Named]:
        """Name those besides who wrote what is seen nowhere, what was there before say: with it they hide another's."""
        last = max(self.evidence.units.index(unit) for unit in ring)
        others = (unit for unit in self.evidence.units[:last] if unit not in ring)
        return frozenset(unit.name for unit in others if self.effects.writes_more(unit))

    def text(self, unit: OracleTransaction) -> str:
        """Name a transaction for people."""
        return unit_text(unit, self.evidence.units)
