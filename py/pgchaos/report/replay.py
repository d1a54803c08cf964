"""How an item is called, and the line that runs it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from pgchaos.scenario.model import Scenario

_FIXED = {
    "free": "This replays delays, jitter and values; a free run's interleaving is the server's and is not fixed.",
    "exact": "The schedule is written in the file: the same steps run in the same order again.",
}
_SEARCHED = "This replays values, delays and the choice of schedules."


def item_name(scenario: Scenario, variables: Mapping[str, str]) -> str:
    """Name the item of a scenario.

    Args:
        scenario: the file.
        variables: the values of its matrix, none where it has none.

    Returns:
        The name after `::` in its id, such as `transfer[level=serializable]`; the same in every run.
    """
    if not variables:
        return scenario.name
    values = ",".join(f"{name}={_printable(value)}" for name, value in variables.items())
    return f"{scenario.name}[{values}]"


def replay_line(scenario: Scenario, variables: Mapping[str, str], seed: int, options: Sequence[str] = ()) -> str:
    """Write the command that runs an item again.

    Args:
        scenario: the file.
        variables: the values of its matrix.
        seed: of the run.
        options: further ones that the run was given and that matter.

    Returns:
        A line for a POSIX shell, to be typed in the folder where the run was started.
    """
    target = shlex.quote(f"{scenario.shown}::{item_name(scenario, variables)}")
    return " ".join(["pytest", target, f"--chaos-seed={seed}", *map(shlex.quote, options)])


def what_it_fixes(scenario: Scenario) -> str:
    """Say what the seed replays, and what it does not.

    Args:
        scenario: the file.

    Returns:
        One sentence.
    """
    return _FIXED.get(scenario.schedule.kind, _SEARCHED)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
