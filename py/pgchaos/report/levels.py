"""The table at the end of a run: what the oracle says of each scenario at each isolation level. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgchaos.language.model import Scenario
    from pgchaos.results import RunResult

LEVEL = "level"
"""The name of the matrix whose values are the columns."""


@dataclass(frozen=True, slots=True)
class Told:
    """One cell.

    Args:
        scenario: what the line is called.
        level: what the column is called.
        text: what was found.
        place: of the column among the others, from 0.
    """

    scenario: str
    level: str
    text: str
    place: int = 0

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def told(text: str) -> Told:
    """Read a cell back from its text, as it comes from a worker of pytest-xdist.

    Args:
        text: `str()` of one.
    """
    return Told(**json.loads(text))


def cell(scenario: Scenario, variables: Mapping[str, str], result: RunResult) -> Told | None:
    """Say what the oracle found.

    Args:
        scenario: what was run.
        variables: the values of its matrix.
        result: what the run left behind.

    Returns:
        A cell; None where no oracle was asked, or at no level in particular.
    """
    if result.judged is None or LEVEL not in variables:
        return None
    others = [f"{name}={value}" for name, value in variables.items() if name != LEVEL]
    line = f"{scenario.shown}{f' [{chr(44).join(others)}]' if others else ''}"
    levels = [value for matrix in scenario.matrix if matrix.name == LEVEL for value in matrix.values]
    return Told(line, variables[LEVEL], _found(scenario, result), levels.index(variables[LEVEL]))


def _found(scenario: Scenario, result: RunResult) -> str:
    judged = result.judged
    assert judged is not None, "the caller has looked"
    if judged.anomalies:
        return ", ".join(judged.anomalies)
    if not judged.decided:
        return "not decided"
    drawn = f", for {result.drawn} values" if result.drawn else ""
    return f"safe{_bound(scenario, result)}{drawn}"


def _bound(scenario: Scenario, result: RunResult) -> str:
    """Say of how many interleavings that is known."""
    explored, counts = result.explored, result.permutations
    if explored is not None:
        chance = "" if explored.missed is None else f", missed with probability {explored.missed:.2g} at depth 2"
        return f" in all {explored.runs:,}" if explored.exhausted else f" in {explored.runs:,}{chance}"
    if counts is not None:
        return f" in all {counts.run:,}" if counts.exhausted else f" in {counts.run:,}"
    return " in this order" if scenario.schedule.kind == "exact" else " in 1 run"


def level_table(cells: Iterable[Told]) -> list[str]:
    """Write the table.

    Args:
        cells: in any order.

    Returns:
        Its lines, the head first; none where there are no cells.
    """
    told = sorted(cells, key=lambda one: (one.place, one.scenario))
    if not told:
        return []
    found = {(one.scenario, one.level): one.text for one in told}
    levels = list(dict.fromkeys(one.level for one in told))
    scenarios = sorted({one.scenario for one in told})
    rows = [["oracle serializable", *levels]]
    rows += [[scenario, *(found.get((scenario, level), "") for level in levels)] for scenario in scenarios]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
