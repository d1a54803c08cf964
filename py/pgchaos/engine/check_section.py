"""The check of a run: a section whose rows are TAP, with no_plan() and finish() of our own if it has none."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from pgchaos.engine.answer import Answer
from pgchaos.engine.kept_connections import learn_plan
from pgchaos.engine.not_run import NotRunDetector
from pgchaos.engine.pooled_connection import PooledConnection
from pgchaos.engine.section import Done, OnLine, Section
from pgchaos.language.assertion_functions import called_functions
from pgchaos.language.assertions import asserting_functions, function_names, tap_calls
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Item, Send, Statement
from pgchaos.language.written_assertions import Evaluated, excuses
from pgchaos.results import CheckResult, Failure
from pgchaos.tap import TapParser, TapReport, diagnostics_of, failures_of
from pgchaos.tap.lines import COUNTS

_NO_PLAN = "SELECT no_plan()"
# runtests() has its own plan and finish
_PLANS = frozenset({"plan", "no_plan", "runtests"})
_FINISHES = frozenset({"finish", "runtests"})
_OF_PLANS = re.compile("You tried to (?:run a test without a plan|plan twice)!")
"""pgTAP's errors about its plan."""
_FEWER = re.compile(r"(?:test out of sequence: found|(?P<plan>planned)) (?P<more>\d+).*?(?:expected|ran) (?P<less>\d+)")
_NO_TESTS = "# No tests run!"
"""The error of finish()."""
_BY_HAND = (
    "the TAP lines of this check are written by hand, and pgTAP counts only its own assertions: write"
    " SELECT ok(CONDITION, 'what must hold')"
)
_HIDDEN = (
    "an assertion ran and its line was not printed: a trigger, a policy, PERFORM or an expression discards it;"
    " call it by a SELECT that prints its TAP line"
)

_BOOLEAN = 16
"""OID of type boolean (pg_type.dat)."""
_OF_CONDITIONS = frozenset({"?column?", "exists", "bool_and", "bool_or", "every"})
"""Names that the server gives the column of a condition. The column of a function, which may write, has its name."""


class Check:
    """The check of one run.

    Args:
        section: makes its section from callbacks for each line and for each executed statement.
        scenario: of the check.
        items: of the section, those in force.
        share: seconds that it may take.
        evaluated: returns the assertions of the run evaluated so far.
    """

    def __init__(
        self,
        section: Callable[[OnLine, Done], Section],
        scenario: Scenario,
        items: list[Item],
        *,
        share: float,
        evaluated: Callable[[], Collection[Evaluated]],
    ) -> None:
        self._plain = scenario.plain
        self._tap = TapParser(None if scenario.plain else excuses(scenario))
        self.section = section(self._on_line, self._done)
        self.items, self._share, self._evaluated = items, share, evaluated
        self.result = CheckResult()
        self._plans = self._plain or _calls(items, _PLANS)
        self._not_run = NotRunDetector(scenario)
        # what explains a wrong plan
        self._causes = [text for text in (_runs_beside(scenario, items),) if text]

    def _on_line(self, line: str, place: Place) -> None:
        self._not_run.add_line(line)
        self._tap.feed(line, place)

    def _done(self, statement: Statement, answer: Answer, is_made: bool) -> None:
        outcome = self._not_run.done(statement, answer, is_made=is_made)
        if self._plain and (self.section.hides or not self.section.output.plain):
            return
        self.result.remarks += outcome.remarks
        if self._plain:
            # pg_prove does not report it either, so its verdict stays
            self._causes += [
                f"{failure.place}: {failure.text}" for failure in outcome.failures if failure.kind == "tap"
            ]
            self.result.remarks += [f"{failure.place}: {failure.text}" for failure in outcome.failures]
            return
        self.result.failures += outcome.failures
        self._tap.add_unread(outcome.unread)
        if not (outcome.printed or outcome.failures) and _is_a_condition(statement, answer):
            text = "this condition asserts nothing, whatever it returns: write SELECT ok(CONDITION, 'what must hold')"
            self.result.remarks.append(f"{statement.place}: {text}")
        if outcome.printed or outcome.failures:
            self.result.evaluated.add(("tap", statement.place, ""))

    def begin(self) -> None:
        """Send no_plan() if the check has no plan: the server creates pgTAP's tables meanwhile."""
        if self.items and not self._plans:
            self.section.connect()
            if not self._has_plan():
                self.section.begin(_NO_PLAN)

    def learn_plan(self) -> None:
        """Create pgTAP's tables now, to keep them for another run."""
        if self.items and not (self._plans or self._has_plan()):
            # an error here occurs again in the run, and is reported then
            self.section.ask(_NO_PLAN, None, self._share)
            if isinstance(self.section.connection, PooledConnection):
                learn_plan(self.section.connection)
            if not self._has_plan():
                # a plan that is not kept ends with its session: the check makes one of its own
                self.section.close()

    def _has_plan(self) -> bool:
        """Whether pgTAP's tables are there as no_plan() makes them."""
        connection = self.section.connection
        if not (isinstance(connection, PooledConnection) and connection.planned):
            return False
        if not connection.is_usable():
            self.section.verify_before_use()
            return False
        return True

    def run(self) -> bool:
        """Run it; return whether it ran to its end."""
        if not self._plain:
            self.result.state = "run"
        try:
            failure = self._run()
        finally:
            self.close()
        # without an assertion finish() would be an error without a line
        silent = self._plain and failure is None and self._tap.is_empty
        report = self._tap.close(stopped=failure is not None or self._is_empty() or silent)
        if self._plain:
            self.result.remarks += [] if report.problems or failure or silent else self.section.output.misread
            self.result.skipped = report.skipped
            self.result.remarks += _excused(report)
        self.result.assertions += report.assertions
        self.result.diagnostics += diagnostics_of(report)
        self.result.failures += [self._explained(one) for one in failures_of(report)]
        if failure is not None:
            self.result.failures.append(self._explained(failure))
        elif silent:
            text = "the file holds no `-- chaos:` directive and printed no TAP"
            hint = "begin it with SELECT plan(N), or take it for a scenario with `-- chaos:check`"
            self.result.failures.append(self._explained(Failure("tap", (), text, self.items[0].place, (hint,))))
        elif self._is_empty() and not self._asserted():
            text = "check was not run: no statement of it asserts anything"
            hint = (
                "the result of a plain query is not checked: write SELECT ok(CONDITION, 'what must hold') FROM …, or"
                " SELECT is(HAVE, WANT, 'what must hold')"
            )
            self.result.failures.append(Failure("not run", (), text, self.items[0].place, (hint,)))
        return failure is None

    def _explained(self, failure: Failure) -> Failure:
        """Add the known causes to a failure of the plan."""
        causes = [*self.section.output.misread, *self._causes] or self._hidden(failure)
        if failure.kind == "tap" or (failure.kind == "error" and _OF_PLANS.search(failure.text)):
            return replace(failure, details=(*causes, *failure.details))
        if not self._plain and self._tap.tests and failure.kind == "error" and _NO_TESTS in failure.text:
            return replace(failure, details=(_BY_HAND, *failure.details))
        return failure

    def _hidden(self, failure: Failure) -> list[str]:
        """Explain fewer lines than assertions: pgTAP counts them in its numbers, or in finish() of no_plan()."""
        found = _FEWER.match(failure.text)
        if found is None or int(found["more"]) <= int(found["less"]) or (self._plans and found["plan"]):
            return []
        return [_HIDDEN]

    def _is_empty(self) -> bool:
        """Whether it has printed no TAP but our plan."""
        return not (self._plans or self._tap.tests)

    def _asserted(self) -> bool:
        """Whether a statement of it has called chaos.assert, or is itself reported as not run."""
        places = {item.place for item in self.items}
        return any(place in places for _, place, _ in (*self._evaluated(), *self.result.evaluated))

    def _run(self) -> Failure | None:
        failure = None
        if not (self._plans or self._has_plan()):
            failure = self.section.ask(_NO_PLAN, None, self._share)
        failure = failure or self.section.run(self.items, self._share)
        if failure is None and not (self._plain or _calls(self.items, _FINISHES) or self._is_empty()):
            failure = self.section.ask("SELECT * FROM finish()", self.items[-1].place, self._share, last=True)
        return failure

    def close(self) -> None:
        """End its connection. Idempotent."""
        self.section.close()


def _runs_beside(scenario: Scenario, items: list[Item]) -> str:
    """Return an error text if something else asserts or plans beside runtests(); otherwise ''."""
    statements = [item for item in items if isinstance(item, Statement)]
    # the cheap test first: few files mention it
    runs = [one for one in statements if "runtests" in one.text.lower() and "runtests" in called_functions(one.text)]
    if not runs:
        return ""
    asserting, names = asserting_functions(scenario), function_names(scenario)
    others = (item for item in statements if item is not runs[0])
    if not any(_calls([item], _PLANS) or tap_calls(item, asserting, names) for item in others):
        return ""
    return (
        f"{runs[0].place}: runtests() has a plan and an end of its own: nothing else may assert, or plan, beside it;"
        " let functions that it finds assert the rest"
    )


def _calls(items: Sequence[Item], functions: frozenset[str]) -> bool:
    return any(isinstance(item, Statement) and functions & called_functions(item.text) for item in items)


def _is_a_condition(statement: Statement, answer: Answer) -> bool:
    """Whether a statement only returns a boolean, which is not evaluated, and calls no function for its effect."""
    last = answer.results[-1] if answer.results else None
    if last is None or statement.send is not Send.PLAIN or not last.height:
        return False
    return list(last.types()) == [_BOOLEAN] and last.columns()[0] in _OF_CONDITIONS


def _excused(report: TapReport) -> list[str]:
    """Describe failing tests that `# TODO` in a description excuses, outside todo()."""
    return [
        f"{assertion.place}: {assertion.name!r} failed, and TODO in its description or plan excuses it, as in pg_prove"
        for assertion in report.assertions
        if not assertion.ok and assertion.directive == "todo" and any(map(COUNTS.match, assertion.diagnostics))
    ]
