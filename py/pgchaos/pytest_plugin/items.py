"""Items: run a scenario, and say to pytest what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pgchaos.pytest_plugin.failure_location import columns
from pgchaos.pytest_plugin.junit import properties
from pgchaos.pytest_plugin.options import Options
from pgchaos.pytest_plugin.token_file import stored
from pgchaos.runner.jobs import Done, Job
from pgchaos.runner.runner import Runner
from pgchaos.runner.spec_jobs import SpecDone
from pgchaos.safe_output import one_line, printable
from pgchaos.schedule.token import Token
from pgchaos.server.settings import ServerError

# projects without scenarios load nothing of what judges and tells of them
if TYPE_CHECKING:
    from pgchaos.language.model import Mutant
    from pgchaos.results import Assertion
    from pgchaos.verdict import Verdict

NOTE = "chaos_note"
"""The property of a report, and of JUnit's file, that holds a note on a scenario."""

SEARCHED = "chaos_explored"
"""The property that says what a search which found nothing has come through."""

ORACLE = "chaos_oracle"
"""The property of a report, and of JUnit's file, that holds what the oracle says."""

_LEAST_WIDTH = 80

RUN = "chaos run"
"""The section of a report that holds what a passing run did."""

Call = Callable[[pytest.FixtureRequest, pytest.Subtests], None]


class ScenarioItem(pytest.Function):
    """One run of a scenario.

    Attributes:
        job: what it runs; None for a file that is no scenario.
        title: of the scenario.
        line: that a skip is shown at.
        took: how long the scenario itself took, in seconds; None while it was not run.
        failed_at: the line that its failure points to, from 1; None where it did not fail.
        repeated: its name without the number of the repetition; None where it is not repeated.
        in_subtest: one of its assertions is just being reported.
    """

    job: Job | None = None
    title: str = ""
    line: int = 1
    took: float | None = None
    failed_at: int | None = None
    repeated: str | None = None
    in_subtest: bool = False

    if hasattr(pytest.Function, "id"):

        @property
        def id(self) -> Any:  # noqa: ANN401 the type has no public name
            """The structured node id, as pytest (9.2 and newer) reads it from the cache.

            pytest keeps `x[level=a]` as a mere name where an item was not made by parametrize, and takes it for a name
            with parameters where it reads it from a string: the two differ, and --lf, --ff, --nf and --sw find nothing.
            """
            return type(super().id).parse(self.nodeid)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where the item stands, and head its failure with the title of the scenario."""
        return self.path, 0, one_line(f"{self.name}: {self.title or self.path.name}")


def scenario_call(runner: Runner, options: Options) -> Call:
    """Make what the item of a scenario calls."""

    def run_scenario(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:
        item = request.node
        assert isinstance(item, ScenarioItem)
        done = result_of(runner, item)
        assert isinstance(done, Done), "specs have a call of their own"
        item.took = done.result.duration
        title = done.scenario.title or done.scenario.name
        item.user_properties += properties(title, done.result, item.job.fingerprint if item.job else "")
        from pgchaos.report import searched

        told = searched(done.result) if done.mutant is None and not done.result.failures else ""
        if told:
            item.user_properties.append((SEARCHED, one_line(f"{item.nodeid}: {told}")))
        item.user_properties += [(NOTE, one_line(remark)) for remark in done.result.remarks]
        for line in done.result.output:
            print(printable(line))
        _tell(item, subtests, done, options)

    return run_scenario


def broken_call(text: str) -> Call:
    """Make what the item of a file calls that is no scenario."""

    def fail(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:  # noqa: ARG001 the same as the others'
        pytest.fail(printable(text), pytrace=False)

    return fail


def result_of(runner: Runner, item: ScenarioItem) -> Done | SpecDone:
    """Bring what an item came to; where it came to nothing, fail and say why.

    Args:
        runner: of the run.
        item: with a job.
    """
    from pgchaos.language.problems import ScenarioError

    assert item.job is not None, "an item without a job has another function"
    try:
        return runner.result_of(item.nodeid, item.job)
    except ScenarioError as error:
        # the file was changed since it was collected
        text, lost = str(error), False
    except ServerError as error:
        text, lost = str(error), not runner.usable
    if lost and _none_but_scenarios_follow(item):
        # the next items could but say the same
        item.session.shouldstop = "the scenarios have no server"
    pytest.fail(printable(text), pytrace=False)


def _none_but_scenarios_follow(item: ScenarioItem) -> bool:
    for other in reversed(item.session.items):
        if other is item:
            return True
        if not isinstance(other, ScenarioItem):
            return False
    return True


def _tell(item: ScenarioItem, subtests: pytest.Subtests, done: Done, options: Options) -> None:
    from pgchaos.report.levels import cell
    from pgchaos.verdict import judge, xfails_in_force

    if done.mutant is not None:
        _tell_mutant(item, done, done.mutant, options)
        return
    variables = item.job.variables if item.job else {}
    told = cell(done.scenario, variables, done.result)
    item.user_properties += [(ORACLE, str(told))] if told is not None else []
    verdict = judge(done.scenario, variables, done.result)
    if verdict.outcome == "skipped":
        pytest.skip(printable(verdict.reason))
    place = verdict.failures[0].place if verdict.failures else None
    if place is not None and item.job is not None and place.path == item.job.shown:
        # JUnit's file has the line of the first report, and those of the assertions that held come before
        item.failed_at = place.line
    # a failing subtest would make an xfail a strict failure, and a passing one says nothing of it
    if not xfails_in_force(done.scenario, variables):
        _tell_assertions(item, subtests, done.result.assertions)
    if not verdict.failures:
        _show(item, done, options)
    if verdict.outcome == "xfailed":
        pytest.xfail(printable(verdict.reason))
        # only --runxfail comes to here: what was expected counts after all
        verdict = replace(verdict, failures=tuple(f for _, failures in verdict.expected for f in failures), expected=())
    if verdict.failures:
        pytest.fail(printable(_text(item, done, verdict, options)), pytrace=False)


def _tell_mutant(item: ScenarioItem, done: Done, mutant: Mutant, options: Options) -> None:
    from pgchaos.verdict import judge_mutant

    verdict = judge_mutant(mutant, done.result)
    if verdict.outcome == "skipped":
        pytest.skip(printable(verdict.reason))
    if verdict.failures:
        pytest.fail(printable(_text(item, done, verdict, options)), pytrace=False)
    _show(item, done, options)


def _show(item: ScenarioItem, done: Done, options: Options) -> None:
    """Add to the item's report what a run did that passed, where that is asked for."""
    if options.show:
        from pgchaos.report import run_text

        text = run_text(
            done.scenario,
            _values(item, done),
            done.result,
            width=max(_LEAST_WIDTH, columns()),
            everything=item.config.get_verbosity() > 0,
            output=item.config.getoption("capture") != "no",
        )
        item.add_report_section("call", RUN, printable(text))


def _values(item: ScenarioItem, done: Done) -> dict[str, str]:
    return {**(item.job.variables if item.job else {}), **done.result.values}


def _tell_assertions(item: ScenarioItem, subtests: pytest.Subtests, assertions: Sequence[Assertion]) -> None:
    from pgchaos.tap import failure_of

    item.in_subtest = True
    try:
        for number, assertion in enumerate(assertions, 1):
            # those that fail are told of together, as the one failure of the item
            if failure_of(assertion) is None:
                _tell_assertion(item, subtests, assertion, number)
    finally:
        item.in_subtest = False


def _tell_assertion(item: ScenarioItem, subtests: pytest.Subtests, assertion: Assertion, number: int) -> None:
    name = assertion.name or f"test {number}"
    if assertion.count:
        name = f"{name} ({assertion.count})"
    marked = assertion.directive == "skip" or (assertion.directive == "todo" and not assertion.ok)
    # JUnit's file takes a skipped part for a skipped file
    if marked and item.config.getoption("xmlpath", None):
        name, marked = f"{name} # {assertion.directive.upper()} {assertion.reason}".rstrip(), False
    with subtests.test(one_line(name)):
        if marked and assertion.directive == "skip":
            pytest.skip(printable(assertion.reason))
        elif marked:
            pytest.xfail(printable(assertion.reason))


def _text(item: ScenarioItem, done: Done, verdict: Verdict, options: Options) -> str:
    from pgchaos.report import failure_text, replay_line

    return failure_text(
        done.scenario,
        _values(item, done),
        done.result,
        verdict,
        width=max(_LEAST_WIDTH, columns()),
        everything=item.config.get_verbosity() > 0,
        again=replay_line(_target(item), done.result.seed, options.replay, options.command),
        token=_token_line(item, done, options),
    )


def _token_line(item: ScenarioItem, done: Done, options: Options) -> str:
    from pgchaos.report import replay_line

    if done.result.decisions is None or item.job is None:
        return ""
    result = done.result
    token = Token(item.job.fingerprint, result.seed, result.decisions or (), result.values)
    return replay_line(_target(item), stored(token, item.config), options.replay, options.command)


def _target(item: ScenarioItem) -> str:
    shown = item.job.shown if item.job else item.path.name
    return f"{shown}::{item.name if item.repeated is None else item.repeated}"
