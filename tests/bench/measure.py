"""Paired runs and what is said of them. Knows nothing of what is measured.

A line of the bench is a function that gives a `Line`: `compared` where there is a peer, `alone` where there is none.
Both take a function that does the work once and tells its value (`seconds` tells the time of any work).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from pgchaos.server.private import PrivateServer
from pgchaos.server.server import Server
from tests.bench.processor import Processor, processor

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
        processor: processor time of one of what is measured; '' where it was not read.
        their_processor: of the peer's.
        aim: what it should be, '' where there is no aim.
        met: whether it is; None where there is no aim.
        skipped: why it was not measured, or ''.
    """

    what: str
    ours: str = ""
    theirs: str = ""
    ratio: tuple[float, float, float] | None = None
    processor: str = ""
    their_processor: str = ""
    aim: str = ""
    met: bool | None = None
    skipped: str = ""

    def row(self) -> str:
        """Write it as a row of a table in Markdown."""
        if self.skipped:
            return f"| {self.what} | | | | | | {self.aim} | not measured: {self.skipped} |"
        ratio = "{:.2f} ({:.2f} to {:.2f})".format(*self.ratio) if self.ratio else ""
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        cells = (self.what, self.ours, self.theirs, ratio, self.processor, self.their_processor, self.aim, verdict)
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| what | pgchaos | its peer | ratio (least to greatest) | processor time: client + server | the peer's | aim | |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def compared(
    what: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    unit: str,
    *,
    under: float | None = None,
    over: float | None = None,
    server: Server | PrivateServer | None = None,
    each: int = 1,
) -> Line:
    """Measure two things in turn, A B A B …, after one run of each that does not count.

    Args:
        what: is compared.
        ours: runs it once and tells the value.
        theirs: does so with the peer.
        unit: of the values.
        under: what the ratio ours / theirs should be less than; None for no such aim.
        over: what it should exceed; None for no such aim.
        server: that both use, whose processor time is told beside the client's; None where they start their own:
            then that is in the client's.
        each: things that a run does, statements say: the processor time is that of one.

    Returns:
        The line: the ratio is that of neighbours, so that what else the machine does weighs on both.
    """
    ours(), theirs()
    pairs = [(_timed(ours, server), _timed(theirs, server)) for _ in range(PAIRS)]
    ratios = sorted(mine.value / other.value for mine, other in pairs)
    middle = median(ratios)
    return Line(
        what,
        shown(median(mine.value for mine, _ in pairs), unit),
        shown(median(other.value for _, other in pairs), unit),
        (middle, ratios[0], ratios[-1]),
        _processor([mine for mine, _ in pairs], each),
        _processor([other for _, other in pairs], each),
        _aim(under, over, ""),
        _met(middle, under, over),
    )


def alone(
    what: str,
    ours: Callable[[], float],
    unit: str,
    *,
    under: float | None = None,
    over: float | None = None,
    server: Server | PrivateServer | None = None,
    each: int = 1,
) -> Line:
    """Measure what has no peer, after one run that does not count.

    Args:
        what: is measured.
        ours: runs it once and tells the value.
        unit: of the value.
        under: what it should be less than; None for no such aim.
        over: what it should exceed; None for no such aim.
        server: as for `compared`.
        each: as for `compared`.

    Returns:
        The line, with median, least and greatest value.
    """
    ours()
    runs = [_timed(ours, server) for _ in range(PAIRS)]
    values = sorted(one.value for one in runs)
    middle = median(values)
    text = f"{shown(middle, unit)} ({shown(values[0], unit)} to {shown(values[-1], unit)})"
    return Line(
        what, text, processor=_processor(runs, each), aim=_aim(under, over, f" {unit}"), met=_met(middle, under, over)
    )


def seconds(work: Callable[[], object]) -> float:
    """Do something and tell how long it took, by the clock on the wall."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run told, and the processor time that it took."""

    value: float
    took: Processor


def _timed(work: Callable[[], float], server: Server | PrivateServer | None) -> _Run:
    before = processor(server)
    value = work()
    return _Run(value, processor(server).since(before))


def _processor(runs: Sequence[_Run], each: int) -> str:
    client = median(one.took.client for one in runs)
    served = [one.took.server for one in runs if one.took.server is not None]
    return Processor(client, median(served) if served else None).shown(each)


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
