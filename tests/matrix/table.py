"""What pytest said on each version, as one table. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)\b")
_SKIPPED = re.compile(r"SKIPPED \[(\d+)\] (\S+?)(?::\d+)?: (.*)")


@dataclass(frozen=True, slots=True)
class Suite:
    """A run of pytest with -q and -rs: its exit code, and all that it printed."""

    code: int
    output: str

    @property
    def last(self) -> str:
        """Its last line, which counts."""
        lines = self.output.strip().splitlines()
        return lines[-1].strip() if lines else ""

    @property
    def counts(self) -> dict[str, int]:
        """How many passed, failed … by pytest's words; subtests are not counted."""
        return {word.rstrip("s"): int(number) for number, word in _COUNT.findall(self.last)}

    @property
    def skips(self) -> Iterator[str]:
        """What was skipped, and why."""
        counted: Counter[str] = Counter()
        for number, place, reason in _SKIPPED.findall(self.output):
            counted[f"{place}: {reason}"] += int(number)
        yield from (f"{said} ({number} times)" if number > 1 else said for said, number in counted.items())

    def __str__(self) -> str:
        counts = self.counts
        bad = counts.get("failed", 0) + counts.get("error", 0) + counts.get("xpassed", 0)
        said = f"{counts.get('passed', 0)} passed, {bad} failed, {counts.get('skipped', 0)} skipped"
        said += f", {counts['xfailed']} fail as known" if "xfailed" in counts else ""
        return said + (f" (pytest ended with {self.code})" if self.code and not bad else "")


@dataclass(frozen=True, slots=True)
class Row:
    """A version.

    Args:
        version: such as `16.14`.
        source: where its programs are from, or why there are none.
        suites: scenarios and tests; none where there was no server.
        seconds: that it took.
    """

    version: str
    source: str
    suites: tuple[Suite, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Nothing failed, and it was run."""
        return bool(self.suites) and not any(suite.code for suite in self.suites)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lay out the versions, and below them what was skipped on each."""
    cells: list[tuple[str, ...]] = [("PostgreSQL", "from", "scenarios", "tests", "time")]
    for row in rows:
        suites = tuple(map(str, row.suites)) or ("not run", "not run")
        source = row.source if row.suites else "nowhere, see below"
        cells.append((row.version, source, *suites, f"{row.seconds:.0f} s"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    for row in rows:
        if not row.suites:
            yield f"\n{row.version}: {row.source}"
    skipped: dict[str, list[str]] = {}
    for row in rows:
        for text in dict.fromkeys(skip for suite in row.suites for skip in suite.skips):
            skipped.setdefault(text, []).append(row.version)
    for text, versions in sorted(skipped.items()):
        yield f"\nskipped on {', '.join(versions)}:\n  {text}"
