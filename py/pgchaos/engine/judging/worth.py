"""Says whether an oracle had anything to judge: whether transactions committed, and what it compares changed."""

from __future__ import annotations

from collections.abc import Iterable

from pgchaos.engine.judging.ledger import Changed, Ledger
from pgchaos.history import Failure
from pgchaos.oracle.model import Named, Unit
from pgchaos.scenario.place import Place

Values = tuple[tuple[str, str], ...]


class Worth:
    """Takes the runs of an item, those of its serial orders too."""

    def __init__(self) -> None:
        self._committed = 0
        self._changed: list[Changed] = []
        self._heard: dict[tuple[Values, Named], object] = {}
        self._varies = False

    @property
    def looks(self) -> bool:
        """Whether it must still be found out whether anything changes."""
        return not (self._varies or any(one.compared is not False for one in self._changed))

    def take(self, ledger: Ledger) -> None:
        """Take a run that was judged.

        Args:
            ledger: of the run.
        """
        if ledger.outcome is not None:
            self._committed += sum(unit.fate == "committed" for unit in ledger.outcome.units)
            if ledger.looks:
                self._changed.append(ledger.changed)

    def compare(self, values: Values, units: Iterable[Unit]) -> None:
        """Take what the transactions of a run were told.

        Args:
            values: of the variables of the run.
            units: its transactions.
        """
        for unit in units:
            if self._heard.setdefault((values, unit.name), unit.heard) != unit.heard:
                self._varies = True

    def failure(self, place: Place | None) -> Failure | None:
        """Say why nothing was judged, where that is so.

        Args:
            place: the line that asks for the oracle.
        """
        if not self._committed:
            text = "oracle was not run: no transaction committed, so that there was nothing to judge"
            return Failure("not run", (), text, place)
        if self.looks and any(one.tables for one in self._changed):
            text = "oracle was not run on what changed: tables were changed, and nothing that `state` compares"
            hint = "select in `state` what the transactions write, or leave it out: then all tables are compared"
            return Failure("not run", (), text, place, (hint,))
        return None

    def remark(self, place: Place | None) -> list[str]:
        """Say that nothing has changed, where that is so and may be meant.

        Args:
            place: as above.
        """
        if self.looks and self._changed:
            return [f"{place}: oracle: nothing that it compares was changed, and every order told the same"]
        return []
