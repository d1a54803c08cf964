"""Writes the order of steps that a report is about, with its waits, and what a search has covered."""

from __future__ import annotations

from pgchaos.language.header_model import StepName
from pgchaos.language.model import Scenario
from pgchaos.language.schedules import COUNTED, format_step
from pgchaos.report.wrapping import fitted, unbroken
from pgchaos.results import Explored, Permutations, RunResult

_INDENT = "    "


def permutation(scenario: Scenario, result: RunResult, width: int) -> list[str]:
    """Write the order of the steps; if no run of a search failed, only how many were run."""
    if not result.order:
        return []
    if result.permutations is not None and none_failed(result):
        return [_none_failed_line(result, result.permutations)]
    sessions = {session.name: session for session in scenario.sessions}
    steps = []
    for one in result.order:
        name = format_step(StepName(one.session, one.worker, one.step, one.iteration), sessions[one.session])
        steps.append(f"{name} <waits for {one.waited_on}>" if one.waited_on else name)
    # a line must not end between a step and its `<waits for …>`
    return [_title(result), *fitted(_INDENT + " ".join(map(unbroken, steps)), max(width, 40)).split("\n")]


def none_failed(result: RunResult) -> bool:
    """Whether several interleavings were run and none failed, so that there is none to show."""
    return result.permutations is not None and not result.permutations.failed


def _none_failed_line(result: RunResult, counts: Permutations) -> str:
    explored = result.explored
    if explored is not None:
        return f"{_were_run(explored.runs, every=explored.exhausted)}, none failed"
    return f"{_were_run(counts.run, every=counts.exhausted)}, none failed ({_others(counts)})"


def _were_run(number: int, *, every: bool) -> str:
    return f"{_all(number) if every else _interleavings(number)} {'was' if number == 1 else 'were'} run"


def _others(counts: Permutations) -> str:
    return "there are no others" if counts.exhausted else "there are more"


def _title(result: RunResult) -> str:
    explored, counts = result.explored, result.permutations
    if explored is not None and not explored.found:
        runs = _interleavings(explored.runs)
        return f"{runs} were run without the expected failure; the steps of one that failed in another way:"
    if explored is not None:
        return f"Found after {_interleavings(explored.runs)}; the steps of its simplest form:"
    if counts is None:
        return "The steps, in the order in which they began:"
    failed = f"{counts.failed} of {_interleavings(counts.run)} failed ({_others(counts)})"
    return f"{failed}; the one with the fewest context switches:"


def searched(result: RunResult) -> str:
    """Write in one line what a search without a failure has covered; '' without a search."""
    values = f"{result.drawn:,} value{'' if result.drawn == 1 else 's'}" if result.drawn else ""
    if result.explored is None:
        return f"{values} drawn" if values else ""
    coverage = _coverage(result.explored)
    return f"{values} drawn, and for the first {coverage}" if values else coverage


def _coverage(explored: Explored) -> str:
    if explored.exhausted and explored.of:
        # `of` is an upper limit: waits may make some of the others impossible
        those = _all(explored.runs) + ("" if explored.runs == 1 else " that differ")
        most = f"at most {explored.of:,}" if explored.of <= COUNTED else f"more than {COUNTED:,}"
        return f"{those}: the others, of {most}, only swap steps that touch no common table"
    if explored.exhausted:
        return f"{_all(explored.runs)}: there are no others"
    text = f"{explored.different} different of {_interleavings(explored.runs)}"
    fewer = explored.preemptions - 1
    # without preemptions it would say little
    if fewer > 0:
        text += f", among them all with at most {fewer} preemption{'' if fewer == 1 else 's'}"
        text += ", or one that only swaps steps that touch no common table" if explored.of else ""
    if explored.miss_probability is not None:
        text += (
            f"; {explored.by_chance} by chance, which miss a bug of depth 2 with probability at most"
            f" {explored.miss_probability:.2g}, if runs are deterministic"
        )
    return text


def _all(number: int) -> str:
    return _interleavings(number) if number == 1 else f"all {_interleavings(number)}"


def _interleavings(number: int) -> str:
    return f"{number:,} interleaving{'' if number == 1 else 's'}"
