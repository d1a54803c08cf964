"""Whether an oracle has judged anything: transactions that committed, and changes that it compares."""

from __future__ import annotations

from collections.abc import Iterable

from pgchaos.engine.transaction_log import Changed, TransactionLog
from pgchaos.language.problems import Place
from pgchaos.oracle.model import OracleTransaction, TxnId
from pgchaos.results import Failure

Values = tuple[tuple[str, str], ...]  # of the variables of a run


class OracleCoverage:
    """Takes the runs of an item, and those of its serial orders."""

    def __init__(self) -> None:
        self._committed = 0
        self._changed: list[Changed] = []
        self._results: dict[tuple[Values, TxnId], object] = {}
        self._varies = False

    @property
    def reads_state(self) -> bool:
        """Whether it is still unknown that anything changes."""
        return not (self._varies or any(one.compared is not False for one in self._changed))

    def add(self, log: TransactionLog) -> None:
        """Take the log of a run that was judged."""
        if log.outcome is not None:
            self._committed += sum(txn.fate == "committed" for txn in log.outcome.transactions)
            if log.reads_state:
                self._changed.append(log.changed)

    def compare(self, values: Values, transactions: Iterable[OracleTransaction]) -> None:
        """Take the results of a run's transactions."""
        for txn in transactions:
            if self._results.setdefault((values, txn.name), txn.results) != txn.results:
                self._varies = True

    def failure(self, place: Place | None) -> Failure | None:
        """Make the failure of an oracle that judged nothing; `place` is the line that asks for it."""
        if not self._committed:
            text = "oracle was not run: no transaction committed, so that there was nothing to judge"
            return Failure("not run", (), text, place)
        if self.reads_state and any(one.tables for one in self._changed):
            text = "oracle was not run on what changed: tables were changed, and nothing that `state` compares"
            hint = "select in `state` what the transactions write, or leave it out: then all tables are compared"
            return Failure("not run", (), text, place, (hint,))
        return None

    def remark(self, place: Place | None) -> list[str]:
        """Remark that nothing has changed, where that may be intended."""
        if self.reads_state and self._changed:
            return [f"{place}: oracle: nothing that it compares was changed, and every order had the same results"]
        return []
