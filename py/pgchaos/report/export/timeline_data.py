"""A run's timeline as plain data, with the rows in which the page and the pictures draw it.

Time runs downward. Each event begins in its own row, in order of time, and extends to the row of the first event that
began after its end. So a statement that waits spans all events that happened meanwhile.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from pgchaos.report.formatting import parameters, row_values
from pgchaos.report.lanes import Event, Lanes, as_written, starts_program
from pgchaos.results import Failure

Data = dict[str, Any]  # of JSON types; empty values are omitted

# Lines of text that the box of an event has at most.
MOST_LINES = 5
_SLOW = 0.1  # seconds; the duration of slower events is shown
_LONG = 32  # characters of a statement that fit into one line of a narrow lane, after the line number

# Prefixes of SQLSTATEs: connection exceptions, and terminations by the server.
_CONNECTION_LOST = ("08", "57P01", "57P02", "57P05")
_BEGINS, _ENDS = ("BEGIN", "START TRANSACTION"), ("COMMIT", "ROLLBACK", "PREPARE TRANSACTION")


class Box(NamedTuple):
    """The time of an event, and the size of its text."""

    lane: int  # its number
    start: float | None  # in any unit; None if it was never sent
    end: float | None  # None if it did not end
    lines: int  # of text


class Rows(NamedTuple):
    """The rows of events: for each event its first row and the row after its last; for each row its height in lines."""

    spans: tuple[tuple[int, int], ...]
    heights: tuple[int, ...]


def rows_of(boxes: Sequence[Box]) -> Rows:
    """Arrange events, in the order of time, in rows."""
    starts, latest = [], 0.0
    for box in boxes:
        latest = latest if box.start is None else max(latest, box.start)
        starts.append(latest)
    spans = []
    following: dict[int, int] = {}  # by lane, the row of the next event
    for row, box in reversed(list(enumerate(boxes))):
        # an event without an end extends to the end of the run
        until = len(boxes) if box.end is None else bisect_left(starts, box.end)
        until = row if box.start is None else min(until, following.get(box.lane, len(boxes)))
        spans.append((row, max(row + 1, until)))
        following[box.lane] = row
    spans.reverse()
    room = zip(boxes, spans, strict=True)
    heights = [max(1, min(MOST_LINES, box.lines) - (until - row - 1)) for box, (row, until) in room]
    return Rows(tuple(spans), tuple(heights))


def text_lines(sent: str, remarks: Sequence[str]) -> int:
    """Return how many lines of text a box should have: two for a long statement, and its remarks."""
    return 1 + (len(sent) > _LONG) + len(remarks)


def remarks(event: Event) -> list[str]:
    """Return remarks on an event besides its text, the most important first."""
    texts = []
    if event.text:
        texts.append(event.text)
    if event.fault:
        texts.append(f"fault: {event.fault}")
    if event.wait is not None:
        texts.append(f"waited {milliseconds(event.wait.until - event.wait.since)} for {', '.join(event.wait.on)}")
    elif event.took >= _SLOW:
        texts.append(f"took {milliseconds(event.took)}")
    record = event.record
    count = record.rows if record.sqlstate == "00000" else None
    result = [] if count is None or (count == 1 and record.notes) else ["1 row" if count == 1 else f"{count:,} rows"]
    if len(record.cells) == 2 and not record.notes:  # one row: its values say more than its number
        result = [row_values(record)]
    result += record.notes
    last = " -> ".join(filter(None, (parameters(record), ", ".join(result))))
    return [*texts, last] if last else texts


def milliseconds(seconds: float) -> str:
    """Write a time, such as `0.4 ms`, `12 ms` or `1,203 ms`."""
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"


def timeline_data(lanes: Lanes) -> Data:
    """Convert a run to `timeline` of the schema, with times in milliseconds from its beginning."""
    places = _failures_by_event(lanes)
    texts = [remarks(event) for event in lanes.events]
    boxes = [
        Box(event.lane, event.begun, event.ended, text_lines(event.sent, own))
        for event, own in zip(lanes.events, texts, strict=True)
    ]
    rows = rows_of(boxes)
    numbers = {lane.name: number for number, lane in enumerate(lanes.lanes)}
    return {
        "lanes": [{"name": lane.name, "session": lane.session, "worker": lane.worker} for lane in lanes.lanes],
        "rows": list(rows.heights),
        "end": in_ms(lanes.end),
        "events": [
            _event(event, span, numbers, places.get(event.number, event.failures), own)
            for event, span, own in zip(lanes.events, rows.spans, texts, strict=True)
        ],
        "transactions": [
            {"lane": number, "first": first, "last": last}
            for number, lane in enumerate(lanes.lanes)
            for first, last in _transactions(lane.events)
        ],
    }


def _transactions(events: Iterable[Event]) -> Iterator[tuple[int, int]]:
    """Return the first and the last event of each transaction block of a lane, as numbers of events."""
    first = last = None
    skipped = False
    for event in events:
        if first is not None and last is not None and skipped and not event.record.skipped:
            # a transaction that an error aborted may have no COMMIT
            yield first, last
            first = None
        last, skipped = event.number, event.record.skipped
        if event.record.tag in _BEGINS and first is None:
            first = last
        elif first is not None and (
            event.record.tag in _ENDS or (event.record.sqlstate or "").startswith(_CONNECTION_LOST)
        ):
            yield first, last
            first = None
    if first is not None and last is not None:
        yield first, last


def _failures_by_event(lanes: Lanes) -> dict[int, tuple[Failure, ...]]:
    """Find the events of failures without a session, such as an oracle's: those with a single event at their line."""
    found: dict[int, tuple[Failure, ...]] = {}
    for failure in lanes.failures:
        there = [one for one in lanes.events if one.kind == "statement" and one.record.place == failure.place]
        if len(there) == 1:
            found[there[0].number] = (*there[0].failures, failure)
    return found


def _event(
    event: Event, span: tuple[int, int], lanes: dict[str, int], failures: tuple[Failure, ...], texts: list[str]
) -> Data:
    record = event.record
    # the start of a program has the line of the directive, its requests have none
    placed = record.has_line or starts_program(record)
    found: Data = {
        "lane": event.lane,
        "kind": event.kind,
        "row": span[0],
        "until": span[1],
        "start": in_ms(event.begun),
        "took": None if event.begun is None or event.ended is None else in_ms(event.ended - event.begun),
        "step": record.step,
        "iteration": record.iteration if record.iteration > 1 else None,
        "attempt": record.attempt if record.attempt > 1 else None,
        "file": record.place.path if placed else "",
        "line": record.place.line if placed else None,
        "statement": as_written(record),
        "sent": record.sent,
        "tag": record.tag,
        "rows": record.rows,
        "sqlstate": record.sqlstate,
        "message": record.message,
        "details": list(record.hint),
        "cells": [list(row) for row in record.cells],
        "fault": event.fault,
        "mark": event.mark,
        "remarks": texts,
        "failures": failures_data(failures),
    }
    if event.wait is not None:
        found["wait"] = {
            "on": list(event.wait.on),
            "lanes": [lanes[name] for name in event.wait.on if name in lanes],
            "from": in_ms(event.wait.since),
            "until": in_ms(event.wait.until),
        }
    return without_empty(found)


def failures_data(failures: Iterable[Failure]) -> list[Data]:
    """Write failures as data."""
    return [
        without_empty(
            {
                "kind": failure.kind,
                "text": failure.text,
                "file": failure.place.path if failure.place else None,
                "line": failure.place.line if failure.place else None,
                "details": list(failure.details),
                "session": failure.session,
            }
        )
        for failure in failures
    ]


def without_empty(data: Data) -> Data:
    """Omit values that are None, '' or empty; numbers and False stay."""
    return {name: value for name, value in data.items() if value not in (None, "", [], {})}


def in_ms(seconds: float | None) -> float | None:
    """Convert seconds to milliseconds, rounded to a microsecond."""
    return None if seconds is None else round(seconds * 1000, 3)
