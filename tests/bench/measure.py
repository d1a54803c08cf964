"""Paired runs and what is said of them. Knows nothing of what is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

PAIRS = 5


class Absent(Exception):
    """What a line needs is not installed: the message says what, and how to get it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the results.

    Args:
        what: is measured, and against what.
        ours, theirs: medians with their unit; '' where nothing is compared.
        ratio: median, least and greatest of the pairwise ratios; or None.
        aim: what it should be, '' where there is no aim.
        met: whether it is; None where there is no aim.
        skipped: why it was not measured, or ''.
    """

    what: str
    ours: str = ""
    theirs: str = ""
    ratio: tuple[float, float, float] | None = None
    aim: str = ""
    met: bool | None = None
    skipped: str = ""

    def row(self) -> str:
        """Write it as a row of a table in Markdown."""
        if self.skipped:
            return f"| {self.what} | | | | {self.aim} | not measured: {self.skipped} |"
        ratio = "{:.2f} ({:.2f} to {:.2f})".format(*self.ratio) if self.ratio else ""
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        return f"| {self.what} | {self.ours} | {self.theirs} | {ratio} | {self.aim} | {verdict} |"


def compared(
    what: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    unit: str,
    *,
    under: float | None = None,
    over: float | None = None,
) -> Line:
    """Measure two things in turn, A B A B …, after one run of each that does not count.

    Args:
        what: is compared.
        ours: runs it once and tells the value.
        theirs: does so with the peer.
        unit: of the values.
        under: what the ratio ours / theirs should be less than; None for no such aim.
        over: what it should exceed; None for no such aim.

    Returns:
        The line: the ratio is that of neighbours, so that what else the machine does weighs on both.
    """
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(PAIRS)]
    ratios = sorted(mine / other for mine, other in pairs)
    middle = median(ratios)
    return Line(
        what,
        shown(median(mine for mine, _ in pairs), unit),
        shown(median(other for _, other in pairs), unit),
        (middle, ratios[0], ratios[-1]),
        _aim(under, over, ""),
        _met(middle, under, over),
    )


def alone(
    what: str, ours: Callable[[], float], unit: str, *, under: float | None = None, over: float | None = None
) -> Line:
    """Measure what has no peer, after one run that does not count.

    Args:
        what: is measured.
        ours: runs it once and tells the value.
        unit: of the value.
        under: what it should be less than; None for no such aim.
        over: what it should exceed; None for no such aim.

    Returns:
        The line, with median, least and greatest value.
    """
    ours()
    values = sorted(ours() for _ in range(PAIRS))
    middle = median(values)
    text = f"{shown(middle, unit)} ({shown(values[0], unit)} to {shown(values[-1], unit)})"
    return Line(what, text, aim=_aim(under, over, f" {unit}"), met=_met(middle, under, over))


def shown(value: float, unit: str) -> str:
    """Write a value with as many digits as it is worth, and its unit."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def _aim(under: float | None, over: float | None, unit: str) -> str:
    if under is not None:
        return f"under {under:g}{unit}"
    return "" if over is None else f"over {over:g}{unit}"


def _met(value: float, under: float | None, over: float | None) -> bool | None:
    if under is not None:
        return value < under
    return None if over is None else value > over
