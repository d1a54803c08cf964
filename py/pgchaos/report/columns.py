"""Writes a run with a column for each session, and time downward."""

from __future__ import annotations

import itertools
import math
import string
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from pgchaos.report.cells import CellStyle, end_of, fitted, folded, head_of, line_of, start_of, whole
from pgchaos.report.formatting import Symbols, statements
from pgchaos.report.lanes import Event, Lane, Lanes

LEAST = 22  # width of a session's column: three of them fit into a terminal of 80 columns
_GAP = "  "
_LONG = 0.05  # seconds; a faster statement that did not wait has one row, even if others overlap it
_NEVER = math.inf
_FAULT = -1  # in place of a lane
_ENDS, _BEGINS = range(2)  # the order of rows with the same time


@dataclass(slots=True)
class _Row:
    """The beginning or end of an event: lines in one column."""

    at: float
    rank: int
    number: int  # of its event
    lane: int  # its index among the shown ones
    lines: list[str]
    bar: str | None = None  # is drawn in the rows below; '' ends it, None keeps it
    timeless: bool = False  # the row has no time: nothing was sent, or no answer received
    left_out: int = 0  # hidden statements before it


def room_for(width: int, end: float) -> int:
    """Return how many columns of sessions fit into a width, beside the times of a run of `end` seconds."""
    return max((width - _time_width(end)) // (LEAST + len(_GAP)), 0)


def _width(lanes: int, width: int, end: float) -> int:
    return (width - _time_width(end) - len(_GAP) * lanes) // lanes


def _time_width(end: float) -> int:
    # the same for all runs up to ten seconds: what fits into a column does not depend on the machine's speed
    return max(len(f"{end * 1000:.1f}"), len("9999.9"))


def columns(
    run: Lanes,
    shown: Sequence[Lane],
    events: Sequence[Event],
    width: int,
    file: str,
    symbols: Symbols,
) -> list[str]:
    """Write the columns.

    Args:
        run: of which the columns show a part.
        shown: the lanes, one column each.
        events: the shown ones of these lanes, in order; hidden statements are counted.
        width: of the terminal; `room_for` allows these lanes.
        file: of the scenario; lines of other files have a letter.
        symbols: its characters.

    Returns:
        The lines, the head first.
    """
    column = _width(len(shown), width, run.end)
    times = _time_width(run.end)
    letters = _letters(shown, file)
    rows = _Writer(shown, CellStyle(column, _digits(shown, letters), letters, symbols)).rows(events)
    lines = [f"{letter} = {path}" for path, letter in letters.items()]
    # columns are only as wide as their texts
    cells = [[line for row in rows if row.lane == number for line in row.lines] for number in range(len(shown))]
    widths = [max(map(cell_len, (lane.name, *own))) for lane, own in zip(shown, cells, strict=True)]
    lines.append(_line("ms", times, [lane.name for lane in shown], widths, symbols))
    lines.append(_line("", times, [symbols.rule * width for width in widths], widths, symbols))
    bars, drawn = [""] * len(shown), set[str]()
    for row in rows:
        if row.left_out:
            lines.append(f"{'':{times}}{_GAP}{symbols.cut} {statements(row.left_out)} not shown")
        for number, text in enumerate(row.lines):
            beside = [*bars[: row.lane], text, *bars[row.lane + 1 :]]
            drawn.update(beside)
            at = "" if number or row.timeless else f"{row.at * 1000:.1f}"
            lines.append(_line(at, times, beside, widths, symbols))
        if row.bar is not None:
            bars[row.lane] = row.bar
    return [*lines, *_legend(drawn, symbols)]


def _legend(bars: Collection[str], symbols: Symbols) -> list[str]:
    """Explain the bars."""
    known = {symbols.waits: "waits for a lock", symbols.runs: "waits as the scenario says, or takes long"}
    texts = [f"{bar} {text}" for bar, text in known.items() if bar in bars]
    return [f"({', '.join(texts)})"] if texts else []


def _line(at: str, times: int, cells: Sequence[str], widths: Sequence[int], symbols: Symbols) -> str:
    columns = (fitted(cell, width, symbols) for cell, width in zip(cells, widths, strict=True))
    return _GAP.join([f"{at:>{times}}", *columns]).rstrip()


def _letters(shown: Sequence[Lane], file: str) -> dict[str, str]:
    """Assign letters to all files except the scenario's own, for their line numbers."""
    paths = dict.fromkeys(event.record.place.path for lane in shown for event in lane.events)
    others = [path for path in paths if path != file]
    return dict(zip(others, itertools.cycle(string.ascii_lowercase), strict=False))


def _digits(shown: Sequence[Lane], letters: Mapping[str, str]) -> int:
    return max((len(line_of(event, letters)) for lane in shown for event in lane.events), default=1)


class _Writer:
    """Makes the rows of some lanes."""

    def __init__(self, shown: Sequence[Lane], style: CellStyle) -> None:
        self._lanes, self._style = shown, style
        self._begun = sorted(
            # a fault is delivered during a statement of its own session
            (event.begun, _FAULT if event.kind == "fault" else number)
            for number, lane in enumerate(shown)
            for event in lane.events
            if event.begun is not None
        )

    def rows(self, events: Sequence[Event]) -> list[_Row]:
        """Make the rows of events in order of time, and count the hidden statements between them."""
        numbers = {event.number for event in events}
        rows = [row for lane in range(len(self._lanes)) for row in self._rows_of(lane, numbers)]
        rows.sort(key=lambda row: (row.at, row.rank, row.number))
        own = sorted((event for lane in self._lanes for event in lane.events), key=lambda event: event.number)
        hidden = [event.number for event in own if event.kind == "statement" and event.number not in numbers]
        done = 0
        for row in rows:
            until = bisect_left(hidden, row.number)
            if row.rank == _BEGINS and until > done:
                row.left_out, done = until - done, until
        if len(hidden) > done:
            rows.append(_Row(_NEVER, _BEGINS, 0, 0, [], left_out=len(hidden) - done))
        return rows

    def _rows_of(self, lane: int, numbers: Container[int]) -> Iterator[_Row]:
        """Make the rows of a lane; consecutive statements that were not sent share one."""
        last = 0.0
        own = (event for event in self._lanes[lane].events if event.number in numbers)
        for unsent, group in itertools.groupby(own, key=lambda event: event.mark == "not sent"):
            if unsent:
                yield self._not_sent(list(group), lane, last)
                continue
            for event in group:
                yield from self._apart(event, lane) if self._is_apart(event, lane) else (self._whole(event, lane),)
                last = max(event.begun or 0.0, event.ended or 0.0)

    def _is_apart(self, event: Event, lane: int) -> bool:
        """Whether the beginning and the end of an event have separate rows, because others overlap it."""
        if event.kind not in ("statement", "wait") or event.begun is None or event.mark == "not sent":
            return False
        if event.ended is None or event.wait is not None:
            return True
        first = bisect_right(self._begun, (event.begun, len(self._lanes)))
        last = bisect_left(self._begun, (event.ended, _FAULT))
        others = {other for _, other in self._begun[first:last]} - {lane}
        return _FAULT in others or (bool(others) and (event.took >= _LONG or event.kind == "wait"))

    def _whole(self, event: Event, lane: int) -> _Row:
        return _Row(event.begun or 0.0, _BEGINS, event.number, lane, whole(event, self._style))

    def _apart(self, event: Event, lane: int) -> tuple[_Row, _Row]:
        symbols = self._style.symbols
        lines = start_of(event, self._style)
        bar = symbols.waits if event.wait is not None else symbols.runs
        start = _Row(event.begun or 0.0, _BEGINS, event.number, lane, lines, bar)
        # the next statement shows the end of a barrier or `wait for`
        opened = event.kind == "wait" and event.ended is not None
        lines = [] if opened else end_of(event, self._style)
        at = _NEVER if event.ended is None else event.ended
        return start, _Row(at, _ENDS, event.number, lane, lines, "", timeless=event.ended is None)

    def _not_sent(self, events: Sequence[Event], lane: int, at: float) -> _Row:
        style = self._style
        lines = [line_of(event, style.letters) for event in (events[0], events[-1])]
        head = head_of("-".join(dict.fromkeys(lines)), style)
        lines = folded(events[0].text, style.width, head, style.symbols, 3)
        return _Row(at, _ENDS, events[0].number, lane, lines, timeless=True)
