"""Decides the verdict on a run from its result: which failures count, which were expected. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pgchaos.language.header_model import Xfail, applies
from pgchaos.language.model import Mutant, Scenario
from pgchaos.language.suggestions import nearest
from pgchaos.results import Failure, FailureKind, RunResult

_WORDS = frozenset({"invariant", "oracle", "wait", "leak", "timeout", "fault", "amcheck", "not run"})
_ASSERTIONS: frozenset[FailureKind] = frozenset({"assertion", "expect"})
_ENDED_EARLY: frozenset[FailureKind] = frozenset({"error", "wait", "timeout", "fault", "tap", "not run"})
# With such a failure of its own SQL a mutant was not planted. Other kinds may have the same line: a leak of an object
# that the mutant created, or an assertion that was not run.
_NOT_PLANTED: frozenset[FailureKind] = frozenset({"error", "timeout"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a run."""

    outcome: Literal["passed", "failed", "skipped", "xfailed"]
    failures: tuple[Failure, ...] = ()  # those that count, causes first; empty unless the outcome is 'failed'
    expected: tuple[tuple[Xfail, tuple[Failure, ...]], ...] = ()  # each xfail with the failures that it names
    reason: str = ""  # why the run was skipped, or the reasons of the xfails that failed as expected; else ''


def judge(scenario: Scenario, variables: Mapping[str, str], result: RunResult) -> Verdict:
    """Decide the verdict on a run of an item with these matrix values."""
    failures = tuple(result.failures)
    if result.skipped and not failures:
        return Verdict("skipped", reason=result.skipped)
    active = xfails_in_force(scenario, variables)
    expected = tuple((xfail, tuple(f for f in failures if is_named(f, xfail.name))) for xfail in active)
    known = {id(failure) for _, named in expected for failure in named}
    counting = [failure for failure in failures if id(failure) not in known]
    # a run that ended early shows nothing about the assertions that it did not reach
    if not any(failure.kind in _ENDED_EARLY for failure in counting):
        counting += [_unexpected_pass(xfail, result) for xfail, named in expected if not named]
    matched = tuple((xfail, named) for xfail, named in expected if named)
    reason = "; ".join(dict.fromkeys(xfail.reason for xfail, _ in matched))
    if counting:
        return Verdict("failed", tuple(counting), matched, reason)
    return Verdict("xfailed" if matched else "passed", (), matched, reason)


def xfails_in_force(scenario: Scenario, variables: Mapping[str, str]) -> tuple[Xfail, ...]:
    """List the xfails of a scenario that apply to the values of a matrix."""
    return tuple(xfail for xfail in scenario.xfails if applies(xfail.when, variables))


def judge_mutant(mutant: Mutant, result: RunResult) -> Verdict:
    """Decide the verdict on a mutant: it passes if everything in `caught by` fails. Other failures do not matter.

    A failure of the mutant's own SQL does not count: the bug was not planted.
    """
    failures = tuple(result.failures)
    if result.skipped and not failures:
        return Verdict("skipped", reason=result.skipped)
    own = {item.place for item in mutant.items}
    unplanted = [failure for failure in failures if failure.place in own and failure.kind in _NOT_PLANTED]
    catching = [failure for failure in failures if failure not in unplanted]
    missed = [name for name in mutant.caught_by if not any(is_named(failure, name) for failure in catching)]
    if not missed:
        return Verdict("passed")
    if unplanted:
        first, text = unplanted[0], f"mutant '{mutant.name}' was not planted: its own SQL failed"
        return Verdict("failed", (Failure("error", (), text, first.place, (first.text, *first.details)),))
    failed = [f"failed instead: {failure.text}" for failure in failures] or ["nothing failed"]
    failed += _misspelt(missed, result)
    text = f"mutant '{mutant.name}' was not caught by {', '.join(map(repr, missed))}"
    return Verdict("failed", (Failure("assertion", (), text, mutant.place, tuple(failed)),))


def _misspelt(names: Iterable[str], result: RunResult) -> list[str]:
    known = {assertion.name for assertion in result.assertions}.union(*(failure.names for failure in result.failures))
    near = {name: nearest(name, known) for name in names if name not in known}
    return [
        f"no assertion or error is named '{name}', did you mean '{meant}'?" for name, meant in near.items() if meant
    ]


def is_found(scenario: Scenario, mutant: Mutant | None, variables: Mapping[str, str], result: RunResult) -> bool:
    """Whether a search may end with this run: the mutant is caught, or without a mutant, a failure is unexpected."""
    if mutant is not None:
        return bool(result.failures) and judge_mutant(mutant, result).outcome == "passed"
    active = xfails_in_force(scenario, variables)
    return any(not any(is_named(failure, xfail.name) for xfail in active) for failure in result.failures)


def is_named(failure: Failure, name: str | None) -> bool:
    """Whether a NAME of `xfail` or `caught by` refers to a failure.

    A failed `expect` is an assertion. The description of an assertion that was not run does not refer to its failure,
    and a broken TAP stream has no name.

    Args:
        failure: a failure of a run.
        name: a description, an invariant's column, a SQLSTATE, a condition name, or one of the words invariant, oracle,
            wait, leak, timeout, fault, amcheck and `not run`, for all failures of that kind. None means any assertion.
    """
    if name is None:
        return failure.kind in _ASSERTIONS
    return name in failure.names or (name in _WORDS and failure.kind == name)


def _unexpected_pass(xfail: Xfail, result: RunResult) -> Failure:
    what = "an assertion" if xfail.name is None else f"'{xfail.name}'"
    text = f"XPASS(strict): {what} was expected to fail, and did not: {xfail.reason}"
    names = [] if xfail.name is None else [xfail.name]
    return Failure("assertion", (), text, xfail.place, tuple(_misspelt(names, result)))
