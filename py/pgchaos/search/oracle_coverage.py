"""Checks that an oracle has judged something: committed transactions, and changes that it compares."""

from __future__ import annotations

from collections.abc import Iterable

from pgchaos.engine.transaction_log import Changed, TransactionLog
from pgchaos.language.problems import Place
from pgchaos.oracle.model import OracleTransaction, TxnId
from pgchaos.results import Failure
from pgchaos.schedule.wait_rules import Actor

Values = tuple[tuple[str, str], ...]  # of the variables of a run


class OracleCoverage:
    """Collects what the runs of an item, and its serial runs, have committed and changed.

    Args:
        programs: sessions are programs, each of which may have several connections.
    """

    def __init__(self, *, programs: bool) -> None:
        self._programs = programs
        self._committed = 0
        self._actors: set[Actor] = set()
        self._changed: list[Changed] = []
        self._results: dict[tuple[Values, TxnId], object] = {}
        self._varies = False

    @property
    def reads_state(self) -> bool:
        """Whether no change has been seen yet, so that the state is still to be read."""
        return not (self._varies or any(one.compared is not False for one in self._changed))

    def add(self, log: TransactionLog) -> None:
        """Add the log of a run that was judged."""
        if log.outcome is not None:
            self._committed += sum(txn.fate == "committed" for txn in log.outcome.transactions)
            self._actors |= {txn.actor for txn in log.outcome.transactions}
            if log.reads_state:
                self._changed.append(log.changed)

    def compare(self, values: Values, transactions: Iterable[OracleTransaction]) -> None:
        """Compare the results of a run's transactions with earlier ones."""
        for txn in transactions:
            if self._results.setdefault((values, txn.name), txn.results) != txn.results:
                self._varies = True

    def failure(self, place: Place | None) -> Failure | None:
        """Return a failure if the oracle judged nothing; `place` is its line."""
        if not self._committed:
            text = "oracle was not run: no transaction committed, so that there was nothing to judge"
            return Failure("not run", (), text, place)
        if self.reads_state and any(one.tables for one in self._changed):
            text = "oracle was not run on what changed: tables were changed, and nothing that `state` compares"
            hint = "select in `state` what the transactions write, or leave it out: then all tables are compared"
            return Failure("not run", (), text, place, (hint,))
        return None

    def remark(self, place: Place | None) -> list[str]:
        """Return a remark if it could find nothing, which may be meant: one connection did all, or nothing changed."""
        if len(self._actors) == 1 and not self._programs:
            (actor,) = self._actors
            return [f"{place}: oracle: all transactions were of {actor}, so their order was serial anyway"]
        if self.reads_state and self._changed:
            return [f"{place}: oracle: nothing that it compares was changed, and every order had the same results"]
        return []
