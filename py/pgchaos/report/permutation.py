"""The order of steps that a report is about, with who waited."""

from __future__ import annotations

import textwrap

from pgchaos.history import Launch, RunResult
from pgchaos.scenario.model import Scenario, StepName
from pgchaos.scenario.schedules import shown

_INDENT = "    "


def permutation(scenario: Scenario, result: RunResult, width: int) -> list[str]:
    """Tell in which order the steps went.

    Args:
        scenario: what was run.
        result: what the run left behind.
        width: of the terminal in columns.

    Returns:
        The lines, none for a run that was free. A step that was still waiting when the next began says for whom, as
        in isolationtester's output.
    """
    if not result.order:
        return []
    sessions = {session.name: session for session in scenario.sessions}
    steps = [_step(launch, shown(_name(launch), sessions[launch.session])) for launch in result.order]
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


def _title(result: RunResult) -> str:
    counts = result.permutations
    if counts is None:
        return "The steps, in the order in which they began:"
    rest = "there are no others" if counts.exhausted else "there are more"
    return f"{counts.failed} of {counts.run} permutations failed ({rest}); the one with the fewest context switches:"


def _name(launch: Launch) -> StepName:
    return StepName(launch.session, launch.worker, launch.step, launch.iteration)


def _step(launch: Launch, name: str) -> str:
    return f"{name} <waits for {launch.waited_on}>" if launch.waited_on else name
