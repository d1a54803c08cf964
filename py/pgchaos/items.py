"""Items: run a scenario, and say to pytest what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pgchaos.history import Assertion, RunResult
from pgchaos.report import failure_text
from pgchaos.runner import Job, Runner
from pgchaos.server.settings import ServerError
from pgchaos.tap import failure_of
from pgchaos.verdict import Verdict, judge, xfails_in_force

_LEAST_WIDTH = 80

Call = Callable[[pytest.FixtureRequest, pytest.Subtests], None]


class ScenarioItem(pytest.Function):
    """One run of a scenario.

    Attributes:
        title: of the scenario.
        line: that a skip is shown at.
        limit: the most that its sessions may take in seconds, from pytest-timeout; None for no such limit.
        took: how long the scenario itself took, in seconds; None while it was not run.
        in_subtest: one of its assertions is just being reported.
    """

    title: str = ""
    line: int = 1
    limit: float | None = None
    took: float | None = None
    in_subtest: bool = False

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where the item stands, and head its failure with the title of the scenario."""
        return self.path, 0, f"{self.name}: {self.title or self.path.name}"


def scenario_call(runner: Runner, job: Job, replay: Sequence[str]) -> Call:
    """Make what the item of a scenario calls.

    Args:
        runner: of the run.
        job: what to run.
        replay: options that a replay needs as well.

    Returns:
        A test function.
    """

    def run_scenario(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:
        item = request.node
        assert isinstance(item, ScenarioItem)
        limited = replace(job, limit=item.limit)
        result = _result(runner, limited, item.session)
        item.took = result.duration
        for line in result.output:
            print(line)
        _tell(item, subtests, limited, result, replay)

    return run_scenario


def broken_call(text: str) -> Call:
    """Make what the item of a file calls that is no scenario.

    Args:
        text: what is wrong with it.

    Returns:
        A test function that fails with the text.
    """

    def fail(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:  # noqa: ARG001 the same as the others'
        pytest.fail(text, pytrace=False)

    return fail


def _result(runner: Runner, job: Job, session: pytest.Session) -> RunResult:
    try:
        return runner.result_of(job)
    except ServerError as error:
        text = str(error)
    if not runner.usable:
        # the next items could but say the same
        session.shouldstop = "the scenarios have no server"
    pytest.fail(text, pytrace=False)


def _tell(item: ScenarioItem, subtests: pytest.Subtests, job: Job, result: RunResult, replay: Sequence[str]) -> None:
    verdict = judge(job.scenario, job.variables, result)
    if verdict.outcome == "skipped":
        pytest.skip(verdict.reason)
    # a failing subtest would make an xfail a strict failure, and a passing one says nothing of it
    if not xfails_in_force(job.scenario, job.variables):
        _tell_assertions(item, subtests, result.assertions)
    if verdict.outcome == "xfailed":
        pytest.xfail(verdict.reason)
        # only --runxfail comes to here: what was expected counts after all
        verdict = replace(verdict, failures=tuple(f for _, failures in verdict.expected for f in failures), expected=())
    if verdict.failures:
        pytest.fail(_text(item, job, result, verdict, replay), pytrace=False)


def _tell_assertions(item: ScenarioItem, subtests: pytest.Subtests, assertions: Sequence[Assertion]) -> None:
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
    with subtests.test(name):
        if marked and assertion.directive == "skip":
            pytest.skip(assertion.reason)
        elif marked:
            pytest.xfail(assertion.reason)


def _text(item: ScenarioItem, job: Job, result: RunResult, verdict: Verdict, replay: Sequence[str]) -> str:
    return failure_text(
        job.scenario,
        job.variables,
        result,
        verdict,
        width=max(_LEAST_WIDTH, shutil.get_terminal_size().columns),
        everything=item.config.get_verbosity() > 0,
        options=replay,
    )
