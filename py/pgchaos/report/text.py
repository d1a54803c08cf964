"""The text of an item that failed: the causes, who ran what, who waited for whom, and how to run it again."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from pgchaos.language.model import Scenario
from pgchaos.report.permutation import none_failed, permutation
from pgchaos.report.replay import may_differ, what_it_fixes
from pgchaos.report.table import statement_table
from pgchaos.results import Failure, RunResult, Standing
from pgchaos.tap import failure_of
from pgchaos.verdict import Verdict

_INDENT = "    "


def failure_text(
    scenario: Scenario,
    variables: Mapping[str, str],
    result: RunResult,
    verdict: Verdict,
    *,
    width: int = 80,
    everything: bool = False,
    again: str = "",
    token: str = "",
) -> str:
    """Write what a user is told of a run that failed.

    Args:
        scenario: what was run.
        variables: the values of its matrix.
        result: what the run left behind.
        verdict: on it.
        width: of the terminal in columns.
        everything: all statements, each whole, instead of the last of each session.
        again: the command that runs it again.
        token: the command that runs this one interleaving again, or '' where none is known to fail again.

    Returns:
        The text; its first line is the first cause.
    """
    causes = [line for failure in verdict.failures for line in _failure(failure)]
    blocks = [
        causes,
        _expected(verdict),
        _what_ran(scenario, variables, result),
        permutation(scenario, result, width),
        _titled("What diag() said:", result.diagnostics),
        _titled("How the sessions stood when the run was stopped:", _standings(result)),
        [] if none_failed(result) else _who_ran_what(scenario, result, width, everything=everything),
        _titled("The log of its server ended so:", result.log),
        _titled("Besides:", [*result.notes, *map(str, scenario.notes)]),
        _again(scenario, result, width, again, token) if may_differ(verdict.failures) else [],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def run_text(
    scenario: Scenario,
    variables: Mapping[str, str],
    result: RunResult,
    *,
    width: int = 80,
    everything: bool = False,
    output: bool = True,
) -> str:
    """Write what happened in a run that passed, for those who want to look at it.

    Args:
        scenario: what was run.
        variables: the values of its matrix.
        result: what the run left behind; of a search that found nothing, what its first run did.
        width: of the terminal in columns.
        everything: all statements, each whole.
        output: what was echoed, and notices, too.

    Returns:
        The text.
    """
    blocks = [
        _what_ran(scenario, variables, result),
        [line for failure in result.failures for line in _failure(failure)],
        permutation(scenario, result, width),
        _titled("It printed:", result.output if output else []),
        _titled("What diag() said:", result.diagnostics),
        _who_ran_what(scenario, result, width, everything=everything, summary=True),
        _titled("Besides:", [*result.notes, *map(str, scenario.notes)]),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _who_ran_what(
    scenario: Scenario, result: RunResult, width: int, *, everything: bool, summary: bool = False
) -> list[str]:
    rows, width = result.records + result.acts, width - len(_INDENT)
    table = statement_table(rows, result.started_at, width=width, everything=everything, summary=summary)
    which = " in the first of these" if none_failed(result) else ""
    return _titled(f"Who ran what in {scenario.shown}{which} (times in ms):", table)


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(f"{_INDENT}{line}" for line in lines)] if lines else []


def _failure(failure: Failure) -> list[str]:
    where = f"{failure.place}: " if failure.place else ""
    who = f"{failure.session}: " if failure.session and failure.session not in failure.text else ""
    first, *more = failure.text.split("\n")
    details = [line for detail in failure.details for line in detail.split("\n")]
    return [f"{where}{who}{first}", *(f"{_INDENT}{line}".rstrip() for line in (*more, *details))]


def _expected(verdict: Verdict) -> list[str]:
    return [
        f"Known to fail, and did ({xfail.reason}): {failure.text}"
        for xfail, failures in verdict.expected
        for failure in failures
    ]


def _what_ran(scenario: Scenario, variables: Mapping[str, str], result: RunResult) -> list[str]:
    lines = [f"Scenario: {scenario.title or scenario.name}"]
    lines += [f"With {name} = {value}" for name, value in variables.items()]
    if result.without_fault:
        lines.append(f"It {result.without_fault}")
    if result.drawn:
        shown = "shown is the smallest of these that failed" if result.shrunk else "shown is one of these"
        found = shown if result.values else "none of them failed"
        lines.append(f"Values: {result.drawn} different ones were tried; {found}")
    if result.server:
        lines.append(f"Server: {result.server}")
    if asserted := _asserted(result):
        lines.append(f"Assertions: {asserted}")
    if result.looks and not none_failed(result):
        missed = f", {result.missed} of them in vain" if result.missed else ""
        lines.append(f"Invariants: looked at {result.looks} times{missed}")
    return lines


def _asserted(result: RunResult) -> str:
    """Tell what became of the assertions of the run that is shown."""
    if none_failed(result):
        return ""
    skipped = "check was skipped" if result.check == "skipped" else ""
    if not result.assertions:
        return skipped
    failed = sum(failure_of(assertion) is not None for assertion in result.assertions)
    early = any(failure.kind == "error" and failure.session == "check" for failure in result.failures)
    missing = sum(failure.kind == "not run" for failure in result.failures)
    told = f"{failed} of {len(result.assertions)} failed" if failed else f"all {len(result.assertions)} held"
    return ", ".join(
        filter(
            None,
            (told, f"{missing} not run" if missing else "", skipped, "then an error ended the check" if early else ""),
        )
    )


def _standings(result: RunResult) -> list[str]:
    standings = result.standings
    names = max((len(standing.session) for standing in standings), default=0)
    return [_standing(standing, result.started_at, names) for standing in standings]


def _standing(standing: Standing, started_at: float, names: int) -> str:
    where = f", {standing.place}" if standing.place else ""
    since = "" if standing.since is None else f", since {(standing.since - started_at) * 1000:.1f} ms"
    waits = ", waits for " + ", ".join(standing.waits_for) if standing.waits_for else ""
    return f"{standing.session:<{names}}  {standing.doing}{waits}{since}{where}"


def _again(scenario: Scenario, result: RunResult, width: int, again: str, token: str) -> list[str]:
    if not again:
        return [f"Seed {result.seed}."]
    kind = scenario.schedule.kind
    lines = [f"Seed {result.seed}. To run it again:", f"{_INDENT}{again}"]
    if token and result.values and not result.decisions:
        lines += ["These values alone:", f"{_INDENT}{token}"]
    elif token and kind == "free":
        lines += ["Its steps, in the order in which they began and one at a time, fail again:", f"{_INDENT}{token}"]
    elif token and kind != "exact":
        lines = [f"Seed {result.seed}. To run this permutation again, alone:", f"{_INDENT}{token}"]
    else:
        lines += textwrap.wrap(what_it_fixes(scenario), max(width, 40))
    return lines
