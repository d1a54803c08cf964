"""The table at the end of a run: the oracle's finding for each scenario at each isolation level."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgchaos.language.model import Scenario
    from pgchaos.results import OracleResult, RunResult

# The matrix whose values are the columns.
LEVEL = "level"


@dataclass(frozen=True, slots=True)
class LevelFinding:
    """What the oracle found for one scenario at one level."""

    scenario: str  # the title of the row
    level: str  # the title of the column
    text: str
    place: int = 0  # index of the level in its matrix; the field names appear in JUnit's file

    def dumps(self) -> str:
        """Write it as text, in which workers of pytest-xdist can send it with the report of an item."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> LevelFinding:
        """Read what `dumps` wrote."""
        return cls(**json.loads(text))


def level_finding(scenario: Scenario, variables: Mapping[str, str], result: RunResult) -> LevelFinding | None:
    """Return the oracle's finding of a result; None if the scenario has no oracle, or no matrix of levels."""
    if result.judged is None or LEVEL not in variables:
        return None
    others = ",".join(f"{name}={value}" for name, value in variables.items() if name != LEVEL)
    row = f"{scenario.shown} [{others}]" if others else scenario.shown
    levels = [value for matrix in scenario.matrix if matrix.name == LEVEL for value in matrix.values]
    text = _finding(scenario, result, result.judged)
    return LevelFinding(row, variables[LEVEL], text, levels.index(variables[LEVEL]))


def _finding(scenario: Scenario, result: RunResult, judged: OracleResult) -> str:
    if judged.anomalies:
        return ", ".join(judged.anomalies)
    if not judged.decided:
        return "not decided"
    drawn = f", for {result.drawn} values" if result.drawn else ""
    return f"safe{_coverage(scenario, result)}{drawn}"


def _coverage(scenario: Scenario, result: RunResult) -> str:
    """Write in how many interleavings no anomaly was found."""
    explored, counts = result.explored, result.permutations
    if explored is not None:
        chance = (
            ""
            if explored.miss_probability is None
            else f", missed with probability {explored.miss_probability:.2g} at depth 2"
        )
        return f" in all {explored.runs:,}" if explored.exhausted else f" in {explored.runs:,}{chance}"
    if counts is not None:
        return f" in all {counts.run:,}" if counts.exhausted else f" in {counts.run:,}"
    return " in this order" if scenario.schedule.kind == "exact" else " in 1 run"


def level_table(findings: Iterable[LevelFinding]) -> list[str]:
    """Write the lines of the table, the head first; none without findings."""
    ordered = sorted(findings, key=lambda finding: (finding.place, finding.scenario))
    if not ordered:
        return []
    texts = {(finding.scenario, finding.level): finding.text for finding in ordered}
    levels = list(dict.fromkeys(finding.level for finding in ordered))
    scenarios = sorted({finding.scenario for finding in ordered})
    rows = [["oracle serializable", *levels]]
    rows += [[scenario, *(texts.get((scenario, level), "") for level in levels)] for scenario in scenarios]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
