"""The order of steps that a report is about, with who waited."""

from __future__ import annotations

import textwrap

from pgchaos.language.header_model import StepName
from pgchaos.language.model import Scenario
from pgchaos.language.schedules import COUNTED, format_step
from pgchaos.results import Explored, Launch, RunResult

_INDENT = "    "


def permutation(scenario: Scenario, result: RunResult, width: int) -> list[str]:
    """Tell in which order the steps went."""
    if not result.order:
        return []
    if none_failed(result):
        return [_none(result)]
    sessions = {session.name: session for session in scenario.sessions}
    steps = [_step(launch, format_step(_name(launch), sessions[launch.session])) for launch in result.order]
    # what is marked must not be parted from its mark
    folded = textwrap.wrap(
        " ".join(step.replace(" ", "\0") for step in steps),
        max(width, 40),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [_title(result), *(line.replace("\0", " ") for line in folded)]


def none_failed(result: RunResult) -> bool:
    """Say whether many interleavings were run and none of them failed, so that there is no one to be told of."""
    return result.permutations is not None and not result.permutations.failed


def _none(result: RunResult) -> str:
    explored, counts = result.explored, result.permutations
    assert counts is not None, "the caller has looked"
    if explored is not None:
        every = f"all {_interleavings(explored.runs)}" if explored.exhausted else _interleavings(explored.runs)
        return f"{every} were run, none failed"
    rest = "there are no others" if counts.exhausted else "there are more"
    every = f"all {counts.run:,} permutations" if counts.exhausted else f"{counts.run:,} permutations"
    return f"{every} were run, none failed ({rest})"


def _title(result: RunResult) -> str:
    counts = result.permutations
    if result.explored is not None and not result.explored.found:
        runs = _interleavings(result.explored.runs)
        return f"{runs} were run, and what should fail did not; the steps of one that failed otherwise:"
    if result.explored is not None:
        return f"Found after {_interleavings(result.explored.runs)}; the steps of its easiest form:"
    if counts is None:
        return "The steps, in the order in which they began:"
    rest = "there are no others" if counts.exhausted else "there are more"
    return f"{counts.failed} of {counts.run} permutations failed ({rest}); the one with the fewest context switches:"


def searched(result: RunResult) -> str:
    """Say what a search came through that found nothing.

    Args:
        result: of the search.

    Returns:
        One line, or '' where nothing was searched.
    """
    values = f"{result.drawn:,} value{'' if result.drawn == 1 else 's'}" if result.drawn else ""
    if result.explored is None:
        return f"{values} drawn" if values else ""
    told = _explored(result.explored)
    return f"{values} drawn, and for the first {told}" if values else told


def _explored(explored: Explored) -> str:
    if explored.exhausted and explored.of:
        # waits may forbid some of the others
        those = "1 interleaving" if explored.runs == 1 else f"all {_interleavings(explored.runs)} that differ"
        most = f"at most {explored.of:,}" if explored.of <= COUNTED else f"more than {COUNTED:,}"
        others = f"the others, of {most}, only swap steps that touch no common table"
        return f"{those}: {others}"
    if explored.exhausted:
        return f"all {_interleavings(explored.runs)}: there are no others"
    told = f"{explored.different} different of {_interleavings(explored.runs)}"
    fewer = explored.preemptions - 1
    if fewer >= 0:
        told += f", among them all with at most {fewer} preemption{'' if fewer == 1 else 's'}"
        told += ", or one that only swaps steps that touch no common table" if explored.of else ""
    if explored.missed is not None:
        told += (
            f"; {explored.by_chance} by chance, which miss a bug of depth 2 with probability at most"
            f" {explored.missed:.2g}, if runs are deterministic"
        )
    return told


def _interleavings(number: int) -> str:
    return f"{number:,} interleaving{'' if number == 1 else 's'}"


def _name(launch: Launch) -> StepName:
    return StepName(launch.session, launch.worker, launch.step, launch.iteration)


def _step(launch: Launch, name: str) -> str:
    return f"{name} <waits for {launch.waited_on}>" if launch.waited_on else name
