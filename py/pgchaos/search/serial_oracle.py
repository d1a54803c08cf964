"""Judges runs by serial ones: whether what a run came to is what some serial order of its transactions comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from pgchaos.engine.run import Look
from pgchaos.engine.run_once import Lend, run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.engine.transaction_log import Changed, TransactionLog
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.skip_locked import advice, skips_locked
from pgchaos.oracle.anomaly_rules import name
from pgchaos.oracle.difference import changed_rows, differences, nearest, order_text
from pgchaos.oracle.evidence import UNNAMED, Anomaly, Evidence
from pgchaos.oracle.model import MOST_ORDERS, OracleTransaction, Outcome, SerialRun, State, TxnId
from pgchaos.oracle.search import LeftOut, Node, SerialOrders, Undecided, Wanted, choices, contexts, find
from pgchaos.oracle.serial import SerialScheduler, serial_variant
from pgchaos.oracle.visibility import Context
from pgchaos.results import Failure, Judged, RunResult
from pgchaos.schedule.permutations import actors
from pgchaos.schedule.scheduler import Scheduler
from pgchaos.schedule.wait_rules import Actor
from pgchaos.server import Server

Values = tuple[tuple[str, str], ...]


class Worth:
    """Takes the runs of an item, those of its serial orders too."""

    def __init__(self) -> None:
        self._committed = 0
        self._changed: list[Changed] = []
        self._heard: dict[tuple[Values, TxnId], object] = {}
        self._varies = False

    @property
    def looks(self) -> bool:
        """Whether it must still be found out whether anything changes."""
        return not (self._varies or any(one.compared is not False for one in self._changed))

    def take(self, ledger: TransactionLog) -> None:
        """Take a run that was judged.

        Args:
            ledger: of the run.
        """
        if ledger.outcome is not None:
            self._committed += sum(txn.fate == "committed" for txn in ledger.outcome.transactions)
            if ledger.looks:
                self._changed.append(ledger.changed)

    def compare(self, values: Values, transactions: Iterable[OracleTransaction]) -> None:
        """Take what the transactions of a run were told.

        Args:
            values: of the variables of the run.
            transactions: of the run.
        """
        for txn in transactions:
            if self._heard.setdefault((values, txn.name), txn.results) != txn.results:
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


_CUT_SHORT = frozenset({"error", "wait", "timeout"})
"""Kinds of failures after which a run has no outcome."""
_SHOWN = 8
"""Differences that are told."""
_KEPT = 64
"""Variants of a scenario, by the values of its variables, whose serial runs are kept."""
MOST_UNITS = 4
"""Transactions among which it is asked who wrote what: the serial runs that this takes are all orders of some of them,
65 for four."""
NOT_DECIDED = "not decided"


class Oracle:
    """Runs a scenario and judges what it came to; serial runs are made when they are needed, and kept.

    Args:
        scenario: with `oracle serializable`.
        server: where.
        settings: how.
    """

    def __init__(self, scenario: Scenario, server: Server, settings: RunSettings) -> None:
        self._scenario, self._server = scenario, server
        self._settings = replace(settings, replay=None, selfcheck=False)
        self._serial = serial_variant(scenario)
        self._actors = actors(scenario.sessions)
        self._lend: Lend | None = None
        self._variants: dict[tuple[tuple[str, str], ...], _Variant] = {}
        self.worth = Worth()
        self.judged: Judged | None = None
        """What it says of all runs so far together."""
        self._silent = False
        self.outside: tuple[str, ...] = ()
        """What a serial run has changed outside its schema: then none of these runs counts."""

    def run(
        self,
        variables: Mapping[str, str],
        order: Scheduler | None,
        lend: Lend | None = None,
        look: Look | None = None,
    ) -> RunResult:
        """Run the scenario once, and judge that.

        Args:
            variables: the values of its matrix, and those drawn for it.
            order: of the steps; None to let the sessions go freely.
            lend: as for `run_once`; serial runs work there too.
            look: as for `run_once`.

        Returns:
            As `run_once`; with `judged`, and a failure of kind `oracle` where no serial order comes to the same.
        """
        self._lend = lend
        ledger = TransactionLog(self._scenario.sessions)
        ledger.looks = self.worth.looks
        result = run_once(self._scenario, variables, self._server, self._settings, order, lend, ledger, look)
        judged, failure = None, None
        # a fault that is told after the sessions' end cuts nothing short
        if not ledger.cut_short and not any(failure.kind in _CUT_SHORT for failure in result.failures):
            failure = ledger.failure
            self.worth.take(ledger)
            if failure is None and ledger.outcome is not None:
                self.worth.compare(tuple(sorted(variables.items())), ledger.outcome.transactions)
                judged, failure = self._variant(variables).judge(ledger.outcome)
        result.failures += [failure] if failure is not None else []
        result.silent = result.silent or self._silent
        result.judged = judged or Judged(decided=False)
        self.judged = _together(self.judged, result.judged)
        return result

    def _variant(self, variables: Mapping[str, str]) -> _Variant:
        key = tuple(sorted(variables.items()))
        found = self._variants.pop(key, None) or _Variant(self, variables)
        self._variants[key] = found
        while len(self._variants) > _KEPT:
            del self._variants[next(iter(self._variants))]
        return found

    def serial(self, variables: Mapping[str, str], wanted: Wanted) -> SerialRun:
        """Run the transactions one after the other.

        Args:
            variables: as for `run`.
            wanted: in which order.
        """
        ledger = TransactionLog(self._serial.sessions, wanted.left_out)
        order = SerialScheduler((*wanted.prefix, *wanted.rest), self._actors)
        result = run_once(self._serial, variables, self._server, self._settings, order, self._lend, ledger)
        self.outside = self.outside or result.outside
        cut_short = [one for one in result.failures if ledger.cut_short or one.kind in _CUT_SHORT]
        self._silent = self._silent or result.silent
        late = result.silent or any(failure.kind == "timeout" for failure in cut_short)
        if ledger.outcome is None:
            why = ledger.failure.text if ledger.failure is not None else "it did not come to its end"
            return SerialRun((), (), {}, cut_short[0].text if cut_short else why, late)
        if not wanted.left_out:
            self.worth.compare(tuple(sorted(variables.items())), ledger.outcome.transactions)
        return _told(ledger.outcome, order, cut_short[0].text if cut_short else "", late)

    @cached_property
    def advice(self) -> tuple[str, ...]:
        """What to think of where a run differs from every serial order, by what the file says."""
        return advice(skips_locked(self._scenario))

    @property
    def place(self) -> Place | None:
        """The line that asks for it."""
        return self._scenario.oracle_place

    @property
    def stopped(self) -> bool:
        """Whether the run is to be brought to an end."""
        return bool(self.outside) or (self._settings.stop is not None and self._settings.stop.is_set())


def _told(outcome: Outcome, order: SerialScheduler, problem: str, late: bool) -> SerialRun:
    """Put the transactions of a serial run into the order of their turns; one that stopped did so in the last."""
    known = {txn.name: txn for txn in outcome.transactions if txn.fate != "out"}
    transactions = [known[one] for one in (order.begun[:-1] if problem else order.begun) if one in known]
    if problem and order.begun:
        transactions.append(OracleTransaction(*order.begun[-1], "out"))
    path = tuple(txn.actor for txn in transactions)
    return SerialRun(path, tuple(transactions), {} if problem else outcome.state, problem, late)


def _together(one: Judged | None, other: Judged) -> Judged:
    before = one or Judged()
    anomalies = tuple(dict.fromkeys((*before.anomalies, *other.anomalies)))
    return Judged(anomalies, before.decided and other.decided, max(before.serial, other.serial))


class _Variant:
    """A scenario with certain values of its variables, and what is known of its serial orders."""

    def __init__(self, oracle: Oracle, variables: Mapping[str, str]) -> None:
        self._oracle, self._variables = oracle, dict(variables)
        self._known = SerialOrders(MOST_ORDERS)
        self._checked: dict[tuple[LeftOut, tuple[Actor, ...]], Failure | None] = {}
        self._alone: dict[Wanted, State | None] = {}

    def judge(self, outcome: Outcome) -> tuple[Judged | None, Failure | None]:
        """Say whether some serial order comes to an outcome."""
        self._known.steps = 0
        while True:
            found = find(outcome, self._known)
            if isinstance(found, SerialRun):
                return Judged(serial=self._known.runs), None
            if found is None:
                return self._none(outcome)
            if self._oracle.stopped:
                return None, None
            if isinstance(found, Undecided) or self._known.runs >= self._known.most:
                return self._undecided(outcome)
            run = self._run(found)
            if run.problem and (run.late or not run.path):
                text = f"oracle: not judged: the transactions could not be run one after the other: {run.problem}"
                return None, Failure("error", (), text)

    def _run(self, wanted: Wanted) -> SerialRun:
        run = self._oracle.serial(self._variables, wanted)
        self._known.learn(wanted, run)
        return run

    def _undecided(self, outcome: Outcome) -> tuple[Judged, Failure]:
        many = f"{self._known.runs:,} serial orders of {len(outcome.transactions)} transactions"
        text = f"oracle: not decided: none of {many} that were run has this outcome, and there are more"
        return Judged(decided=False, serial=self._known.runs), Failure("error", (NOT_DECIDED,), text)

    def _none(self, outcome: Outcome) -> tuple[Judged | None, Failure]:
        """Tell that no serial order comes to the same; but first whether the nearest comes to the same as itself."""
        left_out, run = self._nearest(outcome)
        if run is None:
            why = next(self._problems(), "none of them came to its end")
            text = f"oracle: not judged: no serial order could be run to its end: {why}"
            return None, Failure("error", (), text)
        refused = self._differs_from_itself(left_out, run)
        if refused is not None:
            return None, refused
        anomaly = self._name(outcome, left_out, run)
        tried = f"{self._known.runs:,} serial run{'s' if self._known.runs != 1 else ''}"
        text = f"oracle: {anomaly.name}: no serial order of the transactions has this outcome ({tried})"
        told = [one.text for one in differences(outcome, run)]
        more = [f"and {len(told) - _SHOWN} more differences"] if len(told) > _SHOWN else []
        without = "".join(f" (without {actor}, which did not commit)" for actor, _ in sorted(left_out))
        details = [
            *filter(None, [anomaly.why]),
            f"the nearest serial order is {order_text(run)}{without}; what differs:",
            *(f"  {line}" for line in (*told[:_SHOWN], *more)),
            *self._oracle.advice,
        ]
        judged = Judged((anomaly.name,), serial=self._known.runs)
        place = anomaly.place or self._oracle.place
        return judged, Failure("oracle", (anomaly.name,), text, place, tuple(details))

    def _nearest(self, outcome: Outcome) -> tuple[LeftOut, SerialRun | None]:
        best: tuple[LeftOut, SerialRun | None] = (frozenset(), None)
        for left_out in choices(outcome):
            run = nearest(outcome, [*self._known.complete_runs(left_out), *([best[1]] if best[1] else [])])
            if run is not None and run is not best[1]:
                best = (left_out, run)
        return best

    def _problems(self) -> Iterator[str]:
        stack = list(self._known.roots.values())
        while stack:
            node = stack.pop()
            if node.problem:
                yield node.problem
            stack += [child for child in node.children.values() if child is not None]

    def _differs_from_itself(self, left_out: LeftOut, run: SerialRun) -> Failure | None:
        """Run a serial order again; where it comes to something else, the file cannot be judged."""
        key = left_out, run.path
        if key not in self._checked:
            again = self._oracle.serial(self._variables, Wanted(left_out, run.path))
            self._checked[key] = _refusal(run, again)
        return self._checked[key]

    # what it is called

    def _name(self, outcome: Outcome, left_out: LeftOut, run: SerialRun) -> Anomaly:
        transactions = [txn for txn in outcome.transactions if txn.fate == "committed"]
        # what its author rolled back has no part in it
        left_out |= {txn.name for txn in outcome.transactions if txn.fate == "other" and not txn.failed}
        if len(outcome.transactions) - len(left_out) > MOST_UNITS or self._oracle.stopped:
            return Anomaly(UNNAMED)
        known: dict[TxnId, list[Context]] = {txn.name: [] for txn in transactions}
        for before, txn in contexts(outcome, self._known, left_out):
            if txn.name in known:
                known[txn.name].append(Context(before, txn))
        every = frozenset(txn.name for txn in outcome.transactions)
        differs = changed_rows(run.state, outcome.state)
        return name(Evidence(transactions, known, lambda order: self._after(every, order), outcome.state, differs))

    def _after(self, every: LeftOut, order: tuple[TxnId, ...]) -> State | None:
        """Run some transactions one after the other, and nobody else; but not twice."""
        wanted = Wanted(every - set(order), tuple(actor for actor, _ in order))
        if wanted not in self._alone:
            found = self._made(wanted)
            if found is None and self._known.runs < self._known.most and not self._oracle.stopped:
                self._run(wanted)
                found = self._made(wanted)
            self._alone[wanted] = found
        return self._alone[wanted]

    def _made(self, wanted: Wanted) -> State | None:
        node = self._known.roots.get(wanted.left_out, Node()).at(wanted.prefix)
        return node.state if node is not None and not node.problem else None


def _refusal(run: SerialRun, again: SerialRun) -> Failure | None:
    if not again.problem and (again.transactions, again.state) == (run.transactions, run.state):
        return None
    told = again.problem
    place = None
    for one in differences(Outcome(run.transactions, run.state), again):
        told = (
            told or f"{one.text.replace(': a serial order gives ', ': once ').replace(', this run gave ', ', once ')}"
        )
        told += f" [{one.column}]" if one.column else ""
        place = one.place
        break
    text = f"oracle: not judged: the serial order {order_text(run)} has another outcome when it is run twice: {told}"
    hint = "what differs by itself must be left out of the results, or of the state by a `state` section"
    return Failure("error", (), text, place, (hint,))
