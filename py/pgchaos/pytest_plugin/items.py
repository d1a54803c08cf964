"""Runs an item, reports its result to pytest, and writes the commands that run it again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pgchaos.pytest_plugin.reports import captures_output, junit_properties, report_width
from pgchaos.pytest_plugin.scenario_item import NOTE, ORACLE, REPEATED, RUN, SEARCHED, ScenarioItem
from pgchaos.report.formatting import BOXES, PLAIN, Symbols
from pgchaos.runner.options import Options
from pgchaos.runner.runner import Runner
from pgchaos.safe_output import one_line, printable
from pgchaos.server.settings import ServerError

# projects without scenarios do not load the code that judges and reports them
if TYPE_CHECKING:
    from pgchaos.language.model import Mutant
    from pgchaos.report.timeline import ReportedRun
    from pgchaos.results import Assertion
    from pgchaos.runner.jobs import FinishedScenario
    from pgchaos.runner.specs import FinishedSpec
    from pgchaos.verdict import Verdict

Call = Callable[[pytest.FixtureRequest, pytest.Subtests], None]


def scenario_call(runner: Runner, options: Options) -> Call:
    """Make the function of a scenario's item."""

    def run_scenario(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:
        from pgchaos.report.permutation import searched
        from pgchaos.runner.jobs import FinishedScenario

        item = request.node
        assert isinstance(item, ScenarioItem)
        done = _result_of(runner, item)
        assert isinstance(done, FinishedScenario), "specs have a function of their own"
        result = done.result
        item.duration = result.duration
        title = done.scenario.title or done.scenario.name
        item.user_properties += junit_properties(title, result, item.job.fingerprint if item.job else "")
        coverage = searched(result) if done.mutant is None and not result.failures else ""
        if coverage:
            item.user_properties.append((SEARCHED, one_line(f"{item.nodeid}: {coverage}")))
        if done.repeats is not None:
            from pgchaos.report.flakes import rate_line

            item.user_properties.append((REPEATED, one_line(f"{item.nodeid}: {rate_line(done.repeats)}")))
        item.user_properties += [(NOTE, one_line(remark)) for remark in result.remarks]
        for line in result.output:
            print(printable(line))
        if done.mutant is not None:
            _report_mutant(item, done, done.mutant, options)
        else:
            _report_scenario(item, subtests, done, options)

    return run_scenario


def spec_call(runner: Runner) -> Call:
    """Make the function of a spec's item."""

    def run_spec(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:  # noqa: ARG001 as of all calls
        from pgchaos.runner.specs import FinishedSpec, dependency_note, spec_text

        item = request.node
        assert isinstance(item, ScenarioItem)
        done = _result_of(runner, item)
        assert isinstance(done, FinishedSpec)
        item.duration = done.result.duration
        if done.written is not None:
            note = f"{done.spec.shown}: wrote {os.path.relpath(done.written)}"
            item.user_properties.append((NOTE, one_line(note)))
        if done.depends_on_earlier:
            item.user_properties.append((NOTE, one_line(dependency_note(done))))
        if done.passed:
            return
        if done.skipped:
            pytest.skip(printable(done.skipped))
        pytest.fail(printable(spec_text(done, everything=item.config.get_verbosity() > 0)), pytrace=False)

    return run_spec


def broken_call(text: str) -> Call:
    """Make the function of the item of a file that cannot be read: it fails with the text."""

    def fail(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:  # noqa: ARG001 as of all calls
        pytest.fail(printable(text), pytrace=False)

    return fail


def _result_of(runner: Runner, item: ScenarioItem) -> FinishedScenario | FinishedSpec:
    """Get an item's result; if it could not be run, fail with the reason."""
    from pgchaos.language.problems import ScenarioError

    assert item.job is not None, "an item without a job has another function"
    item.was_called = True
    try:
        done = runner.result_of(item.nodeid, item.job)
        if runner.for_files:
            item.finished = done
        return done
    except ScenarioError as error:
        # the file has changed since it was collected
        text, is_lost = str(error), False
    except ServerError as error:
        text, is_lost = str(error), not runner.usable
    if is_lost and _only_scenarios_follow(item):
        # all further items would fail for the same reason
        item.session.shouldstop = "the scenarios have no server"
    pytest.fail(printable(text), pytrace=False)


def _only_scenarios_follow(item: ScenarioItem) -> bool:
    for other in reversed(item.session.items):
        if other is item:
            return True
        if not isinstance(other, ScenarioItem):
            return False
    return True


def _report_scenario(item: ScenarioItem, subtests: pytest.Subtests, done: FinishedScenario, options: Options) -> None:
    from pgchaos.report.level_table import level_finding
    from pgchaos.verdict import judge, xfails_in_force

    variables = item.job.variables if item.job else {}
    finding = level_finding(done.scenario, variables, done.result)
    if finding is not None:
        item.user_properties.append((ORACLE, finding.dumps()))
    verdict = judge(done.scenario, variables, done.result)
    if verdict.outcome == "skipped":
        pytest.skip(printable(verdict.reason))
    place = verdict.failures[0].place if verdict.failures else None
    if place is not None and item.job is not None and place.path == item.job.shown:
        # in JUnit's file an item has the line of its first report, which is that of an assertion that passed
        item.failed_at = place.line
    # not for an xfail: a failed subtest would turn it into a failure
    if not xfails_in_force(done.scenario, variables):
        _report_assertions(item, subtests, done.result.assertions)
    if not verdict.failures:
        show_run(item, done, options)
    if verdict.outcome == "xfailed":
        pytest.xfail(printable(verdict.reason))
        # with --runxfail pytest.xfail() returns: then the expected failures count
        verdict = replace(verdict, failures=tuple(f for _, failures in verdict.expected for f in failures), expected=())
    if verdict.failures:
        pytest.fail(failure_report(item, done, verdict, options), pytrace=False)


def _report_mutant(item: ScenarioItem, done: FinishedScenario, mutant: Mutant, options: Options) -> None:
    from pgchaos.verdict import judge_mutant

    verdict = judge_mutant(mutant, done.result)
    if verdict.outcome == "skipped":
        pytest.skip(printable(verdict.reason))
    if verdict.failures:
        pytest.fail(failure_report(item, done, verdict, options), pytrace=False)
    show_run(item, done, options)


def _report_assertions(item: ScenarioItem, subtests: pytest.Subtests, assertions: Sequence[Assertion]) -> None:
    from pgchaos.tap import failure_of

    item.in_subtest = True
    try:
        with _uncaptured(item.config):
            for number, assertion in enumerate(assertions, 1):
                # assertions that failed are reported together, as the one failure of the item
                if failure_of(assertion) is None:
                    _report_assertion(item, subtests, assertion, number)
    finally:
        item.in_subtest = False


@contextmanager
def _uncaptured(config: pytest.Config) -> Iterator[None]:
    """Disable capturing: each subtest would open a capture, and none of them prints anything."""
    manager, option = config.pluginmanager.get_plugin("capturemanager"), config.option
    before = getattr(option, "capture", "no")
    option.capture = "no"
    try:
        with manager.global_and_fixture_disabled() if manager else nullcontext():
            yield
    finally:
        option.capture = before


def _report_assertion(item: ScenarioItem, subtests: pytest.Subtests, assertion: Assertion, number: int) -> None:
    name = assertion.name or f"test {number}"
    if assertion.count:
        name = f"{name} ({assertion.count})"
    marked = assertion.directive == "skip" or (assertion.directive == "todo" and not assertion.ok)
    # in JUnit's file a skipped subtest would mark the whole item as skipped
    if marked and item.config.getoption("xmlpath", None):
        name, marked = f"{name} # {assertion.directive.upper()} {assertion.reason}".rstrip(), False
    with subtests.test(one_line(name)):
        if marked and assertion.directive == "skip":
            pytest.skip(printable(assertion.reason))
        elif marked:
            pytest.xfail(printable(assertion.reason))


# the text of a report


def failure_report(item: ScenarioItem, done: FinishedScenario, verdict: Verdict, options: Options) -> str:
    """Write the text of a failure; if the terminal has box characters, store it with these in the item too."""
    from pgchaos.report.text import failure_text

    again, token = replay_lines(item, done, options)
    run = _reported(item, done, options)

    def text(symbols: Symbols) -> str:
        shown = run._replace(symbols=symbols)
        return printable(failure_text(shown, verdict, again=again, token=token, repeats=done.repeats))

    if options.boxes:
        item.boxed = text(BOXES)
    return text(PLAIN)


def show_run(item: ScenarioItem, done: FinishedScenario, options: Options) -> None:
    """With --chaos-show, add the report of a run that passed to the item's report."""
    if not options.show:
        return
    from pgchaos.report.text import run_text

    run, output = _reported(item, done, options), captures_output(item.config)

    def text(symbols: Symbols) -> str:
        return printable(run_text(run._replace(symbols=symbols), output=output, mutant=done.mutant))

    if options.boxes:
        item.boxed = text(BOXES)
    item.add_report_section("call", RUN, text(PLAIN))


def _reported(item: ScenarioItem, done: FinishedScenario, options: Options) -> ReportedRun:
    from pgchaos.report.timeline import ReportedRun

    everything = item.config.get_verbosity() > 0
    width = report_width(options)
    return ReportedRun(done.scenario, values_of(item, done), done.result, width, everything=everything)


def replay_lines(item: ScenarioItem, done: FinishedScenario, options: Options) -> tuple[str, str]:
    """Write the command that runs an item again, and the one that replays its interleaving, or ''."""
    from pgchaos.report.replay import replay_line

    result, token_line = done.result, ""
    if result.decisions is not None and item.job is not None:
        from pgchaos.pytest_plugin.token_file import store_if_long
        from pgchaos.schedule.token import Token

        token = Token(item.job.fingerprint, result.seed, result.decisions, result.values)
        token_line = replay_line(_target(item), store_if_long(token, item.config), options.replay, options.command)
    return run_again(item, done, options), token_line


def run_again(item: ScenarioItem, done: FinishedScenario, options: Options) -> str:
    """Write the command that runs an item again with its seed."""
    from pgchaos.report.replay import replay_line

    return replay_line(_target(item), done.result.seed, options.replay, options.command)


def _target(item: ScenarioItem) -> str:
    path = item.job.shown if item.job else item.path.name
    return f"{path}::{item.name if item.unrepeated_name is None else item.unrepeated_name}"


def values_of(item: ScenarioItem, done: FinishedScenario) -> dict[str, str]:
    """Return the values of an item's matrix, and those drawn for it."""
    return {**(item.job.variables if item.job else {}), **done.result.values}
