"""A run as a column for each session, time downward: who did what while whom it kept waiting."""

from __future__ import annotations

import itertools
import math
import string
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from pgchaos.report.cells import CellStyle, end_of, fitted, folded, head_of, line_of, start_of, whole
from pgchaos.report.lanes import Event, Lane, Lanes
from pgchaos.report.look import Look, statements

LEAST = 22  # of the terminal's columns for a session: with three of them, a terminal of 80 has no more
_GAP = "  "
_LONG = 0.05  # seconds; a quicker statement that did not wait is in one row, whatever others do meanwhile
_NEVER = math.inf
_FAULT = -1  # in place of a lane
_ENDS, _BEGINS = range(2)  # rows of the same moment


@dataclass(slots=True)
class _Row:
    """Something that begins or ends at a moment: some lines in one column."""

    at: float
    rank: int
    number: int  # of its event
    lane: int  # its index among the shown ones
    lines: list[str]
    bar: str | None = None  # what is drawn below it from now on; '' ends it, None leaves it
    timeless: bool = False  # nothing was sent, or nothing came
    left_out: int = 0  # statements before it that are not shown


def room_for(width: int, end: float) -> int:
    """Tell how many sessions fit beside one another, wide enough to be read, and the times of a run.

    Its end is in seconds from its beginning.
    """
    return max((width - _time_width(end)) // (LEAST + len(_GAP)), 0)


def _width(lanes: int, width: int, end: float) -> int:
    return (width - _time_width(end) - len(_GAP) * lanes) // lanes


def _time_width(end: float) -> int:
    # the same for all runs up to ten seconds: what fits into a column does not depend on how quick the machine is
    return max(len(f"{end * 1000:.1f}"), len("9999.9"))


def columns(
    run: Lanes,
    shown: Sequence[Lane],
    events: Sequence[Event],
    width: int,
    file: str,
    look: Look,
) -> list[str]:
    """Write the columns.

    Args:
        run: of which they show a part.
        shown: the lanes, one column each.
        events: of these lanes that are shown, in order; the others are counted where they are left out.
        width: of the terminal; `room_for` has been asked.
        file: of the scenario: lines of other files are shown with a letter.
        look: its characters.

    Returns:
        The lines, the head first.
    """
    column = _width(len(shown), width, run.end)
    times = _time_width(run.end)
    letters = _letters(shown, file)
    rows = _Writer(shown, CellStyle(column, _digits(shown, letters), letters, look)).rows(events)
    lines = [f"{letter} = {path}" for path, letter in letters.items()]
    # what is read together lies close together
    cells = [[line for row in rows if row.lane == number for line in row.lines] for number in range(len(shown))]
    widths = [max(map(cell_len, (lane.name, *own))) for lane, own in zip(shown, cells, strict=True)]
    lines.append(_line("ms", times, [lane.name for lane in shown], widths, look))
    lines.append(_line("", times, [look.rule * width for width in widths], widths, look))
    bars, drawn = [""] * len(shown), set[str]()
    for row in rows:
        if row.left_out:
            lines.append(f"{'':{times}}{_GAP}{look.cut} {statements(row.left_out)} not shown")
        for number, text in enumerate(row.lines):
            beside = [*bars[: row.lane], text, *bars[row.lane + 1 :]]
            drawn.update(beside)
            at = "" if number or row.timeless else f"{row.at * 1000:.1f}"
            lines.append(_line(at, times, beside, widths, look))
        if row.bar is not None:
            bars[row.lane] = row.bar
    return [*lines, *_legend(drawn, look)]


def _legend(bars: Collection[str], look: Look) -> list[str]:
    """Explain the bars."""
    known = {look.waits: "waits for a lock", look.runs: "waits as the scenario says, or takes long"}
    texts = [f"{bar} {text}" for bar, text in known.items() if bar in bars]
    return [f"({', '.join(texts)})"] if texts else []


def _line(at: str, times: int, cells: Sequence[str], widths: Sequence[int], look: Look) -> str:
    columns = (fitted(cell, width, look) for cell, width in zip(cells, widths, strict=True))
    return _GAP.join([f"{at:>{times}}", *columns]).rstrip()


def _letters(shown: Sequence[Lane], file: str) -> dict[str, str]:
    """Return a letter to each file but the scenario's own, of which its lines say that they are."""
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
            # a fault strikes during a statement of its own session
            (event.begun, _FAULT if event.kind == "fault" else number)
            for number, lane in enumerate(shown)
            for event in lane.events
            if event.begun is not None
        )

    def rows(self, events: Sequence[Event]) -> list[_Row]:
        """Make the rows of events in order of time, and count what is left out between them."""
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
        """Make the rows of a lane; statements that were not sent share one."""
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
        """Whether an event is shown where it began and where it ended: others went on meanwhile."""
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
        look = self._style.look
        lines = start_of(event, self._style)
        bar = look.waits if event.wait is not None else look.runs
        start = _Row(event.begun or 0.0, _BEGINS, event.number, lane, lines, bar)
        # where a wait of the file ended, the next statement shows
        opened = event.kind == "wait" and event.ended is not None
        lines = [] if opened else end_of(event, self._style)
        at = _NEVER if event.ended is None else event.ended
        return start, _Row(at, _ENDS, event.number, lane, lines, "", timeless=event.ended is None)

    def _not_sent(self, events: Sequence[Event], lane: int, at: float) -> _Row:
        style = self._style
        lines = [line_of(event, style.letters) for event in (events[0], events[-1])]
        head = head_of("-".join(dict.fromkeys(lines)), style)
        lines = folded(events[0].text, style.width, head, style.look, 3)
        return _Row(at, _ENDS, events[0].number, lane, lines, timeless=True)
