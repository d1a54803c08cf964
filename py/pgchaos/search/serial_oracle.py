"""Judges whether the outcome of a run is that of some serial order of its transactions, by running serial orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from pgchaos.engine.run import DatabaseInspector
from pgchaos.engine.run_once import OpenSandbox, run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.engine.transaction_log import TransactionLog
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.skip_locked import advice, skips_locked
from pgchaos.oracle.anomaly_rules import name_anomaly
from pgchaos.oracle.difference import changed_rows, differences, nearest, order_text
from pgchaos.oracle.evidence import UNNAMED, Anomaly, Evidence
from pgchaos.oracle.model import MOST_ORDERS, OracleTransaction, Outcome, SerialRun, State, TxnId
from pgchaos.oracle.serial_scenario import SerialScheduler, serial_variant
from pgchaos.oracle.serial_search import LeftOut, Node, SerialOrders, Undecided, Wanted, choices, contexts, find
from pgchaos.oracle.visibility import Context
from pgchaos.results import Failure, OracleResult, RunResult, SerialDifference
from pgchaos.schedule.permutations import actors
from pgchaos.schedule.scheduler import Scheduler
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.oracle_coverage import OracleCoverage, Values
from pgchaos.server import Server

_CUT_SHORT = frozenset({"error", "wait", "timeout"})  # a run with such a failure has no outcome
_SHOWN = 8  # differences that are reported
_MOST_VARIANTS = 64  # variants, by the values of the variables, whose serial runs are stored
# transactions at most for which the anomaly is named: that takes serial runs in all orders of subsets, 65 for four
MOST_NAMED = 4
NOT_DECIDED = "not decided"
_INSTEAD = "where that is meant, take the oracle out and state what must hold in a check or an invariant"
_FEWER = "let the sessions have fewer transactions, or state what must hold in a check or an invariant instead"


class Oracle:
    """Runs a scenario and judges the outcomes; serial runs are made on demand, and stored.

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
        self._programs = {session.name for session in scenario.sessions if session.program is not None}
        self._open_sandbox: OpenSandbox | None = None
        self._variants: dict[Values, _Variant] = {}
        self.coverage = OracleCoverage(programs=bool(self._programs))
        self.judged: OracleResult | None = None  # of all runs so far
        self._silent = False
        # what a serial run has changed outside its schema: then none of these runs counts
        self.outside: tuple[str, ...] = ()

    def run(
        self,
        variables: Mapping[str, str],
        order: Scheduler | None,
        open_sandbox: OpenSandbox | None = None,
        inspector: DatabaseInspector | None = None,
    ) -> RunResult:
        """Run the scenario once, and judge the outcome.

        Args:
            variables: of its matrix, and drawn for it.
            order: of the steps; None for a free run.
            open_sandbox: as for `run_once`; serial runs use it too.
            inspector: as for `run_once`.

        Returns:
            As `run_once`, with `judged`, and a failure of kind `oracle` if no serial order has the outcome.
        """
        self._open_sandbox = open_sandbox
        log = TransactionLog(self._scenario.sessions)
        log.reads_state = self.coverage.reads_state
        result = run_once(self._scenario, variables, self._server, self._settings, order, open_sandbox, log, inspector)
        judged, failure = None, None
        # a fault that is reported after the end of the sessions has not interrupted them
        if not log.cut_short and not any(failure.kind in _CUT_SHORT for failure in result.failures):
            failure = log.failure
            self.coverage.add(log)
            if failure is None and log.outcome is not None:
                self.coverage.compare(tuple(sorted(variables.items())), log.outcome.transactions)
                judged, failure = self._variant(variables).judge(log.outcome)
        judged = judged or OracleResult(decided=False)
        self.judged = _joined(self.judged, judged)
        result = result.joined(failures=[failure] if failure is not None else [])
        return replace(result, silent=result.silent or self._silent, judged=judged)

    def _variant(self, variables: Mapping[str, str]) -> _Variant:
        key = tuple(sorted(variables.items()))
        found = self._variants.pop(key, None) or _Variant(self, variables)
        self._variants[key] = found
        while len(self._variants) > _MOST_VARIANTS:
            del self._variants[next(iter(self._variants))]
        return found

    def serial(self, variables: Mapping[str, str], wanted: Wanted) -> SerialRun:
        """Run the transactions one after the other, in the wanted order."""
        kept = min((name for name in wanted.left_out if name[0].session in self._programs), default=None)
        if kept is not None:
            return _not_removable(kept, wanted)
        log = TransactionLog(self._serial.sessions, wanted.left_out)
        order = SerialScheduler((*wanted.prefix, *wanted.rest), self._actors)
        result = run_once(self._serial, variables, self._server, self._settings, order, self._open_sandbox, log)
        self.outside = self.outside or result.outside
        cut_short = [one for one in result.failures if log.cut_short or one.kind in _CUT_SHORT]
        self._silent = self._silent or result.silent
        late = result.silent or any(failure.kind == "timeout" for failure in cut_short)
        if log.outcome is None:
            why = log.failure.text if log.failure is not None else "it did not reach its end"
            return SerialRun((), (), {}, cut_short[0].text if cut_short else why, late)
        if not wanted.left_out:
            self.coverage.compare(tuple(sorted(variables.items())), log.outcome.transactions)
        return _serial_run(log.outcome, order, cut_short[0].text if cut_short else "", late)

    @cached_property
    def advice(self) -> tuple[str, ...]:
        """Advice for the case that no serial order has the outcome, from what the file contains."""
        return advice(skips_locked(self._scenario))

    @property
    def place(self) -> Place | None:
        """The line of the directive."""
        return self._scenario.oracle_place

    @property
    def stopped(self) -> bool:
        """Whether to make no more runs."""
        return bool(self.outside) or (self._settings.stop is not None and self._settings.stop.is_set())


def _not_removable(kept: TxnId, wanted: Wanted) -> SerialRun:
    """Report that a transaction of a program cannot be left out: the program always sends it."""
    first = (*wanted.prefix, *wanted.rest)[:1]
    problem = (
        f"{kept[0]} is a program, and cannot be run without its transaction {kept[1][1] + 1}, which did not commit"
    )
    return SerialRun(first, tuple(OracleTransaction(one, (1, 0), "out") for one in first), {}, problem)


def _serial_run(outcome: Outcome, order: SerialScheduler, problem: str, late: bool) -> SerialRun:
    """Put the transactions of a serial run in order; a run that stopped did so in the last one."""
    known = {txn.name: txn for txn in outcome.transactions if txn.fate != "out"}
    transactions = [known[one] for one in (order.begun[:-1] if problem else order.begun) if one in known]
    if problem and order.begun:
        transactions.append(OracleTransaction(*order.begun[-1], "out"))
    path = tuple(txn.actor for txn in transactions)
    return SerialRun(path, tuple(transactions), {} if problem else outcome.state, problem, late)


def _joined(one: OracleResult | None, other: OracleResult) -> OracleResult:
    before = one or OracleResult()
    anomalies = tuple(dict.fromkeys((*before.anomalies, *other.anomalies)))
    shown = before if before.differences else other
    serial = max(before.serial, other.serial)
    return OracleResult(anomalies, before.decided and other.decided, serial, shown.nearest, shown.differences)


class _Variant:
    """A scenario with fixed values of its variables, and the serial runs of it so far."""

    def __init__(self, oracle: Oracle, variables: Mapping[str, str]) -> None:
        self._oracle, self._variables = oracle, dict(variables)
        self._known = SerialOrders(MOST_ORDERS)
        self._checked: dict[tuple[LeftOut, tuple[Actor, ...]], Failure | None] = {}
        self._states: dict[Wanted, State | None] = {}

    def judge(self, outcome: Outcome) -> tuple[OracleResult | None, Failure | None]:
        """Find a serial order with this outcome, else report the difference."""
        self._known.steps = 0
        while True:
            found = find(outcome, self._known)
            if isinstance(found, SerialRun):
                return OracleResult(serial=self._known.runs), None
            if found is None:
                return self._no_serial_order(outcome)
            if self._oracle.stopped:
                return None, None
            if isinstance(found, Undecided) or self._known.runs >= self._known.most:
                return self._undecided(outcome)
            run = self._run_serially(found)
            if run.problem and (run.late or not run.path):
                text = f"oracle: not judged: the transactions could not be run one after the other: {run.problem}"
                return None, self._not_judged(text)

    def _run_serially(self, wanted: Wanted) -> SerialRun:
        run = self._oracle.serial(self._variables, wanted)
        self._known.learn(wanted, run)
        return run

    def _undecided(self, outcome: Outcome) -> tuple[OracleResult, Failure]:
        many = f"{self._known.runs:,} serial orders of {len(outcome.transactions)} transactions"
        text = f"oracle: not decided: none of {many} that were run has this outcome, and there are more"
        failure = Failure("error", (NOT_DECIDED,), text, self._oracle.place, (_FEWER,))
        return OracleResult(decided=False, serial=self._known.runs), failure

    def _not_judged(self, text: str) -> Failure:
        return Failure("error", (), text, self._oracle.place, (_INSTEAD,))

    def _no_serial_order(self, outcome: Outcome) -> tuple[OracleResult | None, Failure]:
        """Report that no serial order has the outcome, unless the nearest one differs from itself."""
        left_out, run = self._nearest(outcome)
        if run is None:
            why = next(self._problems(), "none of them completed")
            text = f"oracle: not judged: no serial order could be run to its end: {why}"
            return None, self._not_judged(text)
        unstable = self._unstable(left_out, run)
        if unstable is not None:
            return None, unstable
        anomaly = self._anomaly(outcome, left_out, run)
        tried = f"{self._known.runs:,} serial run{'s' if self._known.runs != 1 else ''}"
        text = f"oracle: {anomaly.name}: no serial order of the transactions has this outcome ({tried})"
        apart = differences(outcome, run)
        found = [one.text for one in apart]
        more = [f"and {len(found) - _SHOWN} more differences"] if len(found) > _SHOWN else []
        without = "".join(f" (without {actor}, which did not commit)" for actor, _ in sorted(left_out))
        order = f"{order_text(run)}{without}"
        details = [
            *filter(None, [anomaly.why]),
            f"the nearest serial order is {order}; what differs:",
            *(f"  {line}" for line in (*found[:_SHOWN], *more)),
            *self._oracle.advice,
        ]
        sides = tuple(one.sides or SerialDifference(one.text, "", "") for one in apart[:_SHOWN])
        judged = OracleResult((anomaly.name,), serial=self._known.runs, nearest=order, differences=sides)
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

    def _unstable(self, left_out: LeftOut, run: SerialRun) -> Failure | None:
        """Run a serial order twice: a scenario whose outcome differs then cannot be judged."""
        key = left_out, run.path
        if key not in self._checked:
            again = self._oracle.serial(self._variables, Wanted(left_out, run.path))
            self._checked[key] = _instability(run, again, self._oracle.place)
        return self._checked[key]

    # the name of the anomaly

    def _anomaly(self, outcome: Outcome, left_out: LeftOut, run: SerialRun) -> Anomaly:
        transactions = [txn for txn in outcome.transactions if txn.fate == "committed"]
        # a transaction that rolled itself back is not part of it
        left_out |= {txn.name for txn in outcome.transactions if txn.fate == "other" and not txn.failed}
        if len(outcome.transactions) - len(left_out) > MOST_NAMED or self._oracle.stopped:
            return Anomaly(UNNAMED)
        known: dict[TxnId, list[Context]] = {txn.name: [] for txn in transactions}
        for before, txn in contexts(outcome, self._known, left_out):
            if txn.name in known:
                known[txn.name].append(Context(before, txn))
        every = frozenset(txn.name for txn in outcome.transactions)
        differs = changed_rows(run.state, outcome.state)
        return name_anomaly(
            Evidence(transactions, known, lambda order: self._state_after(every, order), outcome.state, differs)
        )

    def _state_after(self, every: LeftOut, order: tuple[TxnId, ...]) -> State | None:
        """Return the state after some transactions one after the other, without the others; each order runs once."""
        wanted = Wanted(every - set(order), tuple(actor for actor, _ in order))
        if wanted not in self._states:
            found = self._state_of(wanted)
            if found is None and self._known.runs < self._known.most and not self._oracle.stopped:
                self._run_serially(wanted)
                found = self._state_of(wanted)
            self._states[wanted] = found
        return self._states[wanted]

    def _state_of(self, wanted: Wanted) -> State | None:
        node = self._known.roots.get(wanted.left_out, Node()).at(wanted.prefix)
        return node.state if node is not None and not node.problem else None


def _instability(run: SerialRun, again: SerialRun, oracle: Place | None) -> Failure | None:
    if not again.problem and (again.transactions, again.state) == (run.transactions, run.state):
        return None
    differs, place = again.problem, oracle
    first = next(iter(differences(Outcome(run.transactions, run.state), again)), None)
    if first is not None:
        text = first.text.replace(": a serial order gives ", ": once ").replace(", this run gave ", ", once ")
        differs = (differs or text) + (f" [{first.column}]" if first.column else "")
        place = first.place or oracle
    text = f"oracle: not judged: the serial order {order_text(run)} has another outcome when it is run twice: {differs}"
    hint = "what differs by itself must be left out of the results, or of the state by a `state` section"
    return Failure("error", (), text, place, (hint,))
