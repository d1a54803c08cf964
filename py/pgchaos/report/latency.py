"""The latency of each statement of each session in a free run, as pgbench reports it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pgchaos.language.problems import Place
from pgchaos.report.formatting import Symbols
from pgchaos.report.lanes import kind_of, lock_wait_seconds
from pgchaos.report.statement_list import shorten
from pgchaos.results import Record

_HEAD = ("session", "line", "count", "mean", "p95", "longest", "waited", "retries", "statement")
_LEAST_SQL = 12  # columns


@dataclass(frozen=True, slots=True)
class Latency:
    """All executions of one statement by the connections of one session. Times are seconds."""

    session: str
    place: Place
    statement: str  # as written
    count: int  # answered, with an error or without
    failed: int  # of these, with an error
    retries: int  # of these, sent by a later attempt of a transaction
    mean: float
    p95: float  # the least time that at least 95 % did not exceed
    longest: float
    waits: int  # executions that were seen waiting for a lock
    waited: float  # total of these waits


def latencies(records: Sequence[Record]) -> list[Latency]:
    """Summarize each answered statement of each session, in the order of first execution."""
    found: dict[tuple[str, Place, str], list[Record]] = {}
    for record in records:
        if kind_of(record) == "statement" and record.started_at is not None and record.ended_at is not None:
            found.setdefault((record.session, record.place, record.statement), []).append(record)
    return [_latency(*key, own) for key, own in found.items()]


def _latency(session: str, place: Place, statement: str, records: Sequence[Record]) -> Latency:
    times = sorted((record.ended_at or 0.0) - (record.started_at or 0.0) for record in records)
    waits = [seconds for record in records if (seconds := lock_wait_seconds(record)) or record.waited_on]
    return Latency(
        session,
        place,
        " ".join(statement.split()),
        count=len(times),
        failed=sum(record.sqlstate != "00000" for record in records),
        retries=sum(record.attempt > 1 for record in records),
        mean=math.fsum(times) / len(times),
        p95=times[math.ceil(0.95 * len(times)) - 1],
        longest=times[-1],
        waits=len(waits),
        waited=math.fsum(waits),
    )


def latency_data(records: Sequence[Record]) -> list[dict[str, str | int | float]]:
    """Return the rows of the table as plain data, with times in ms."""
    return [
        {
            "session": latency.session,
            "line": str(latency.place),
            "count": latency.count,
            "mean_ms": round(latency.mean * 1000, 3),
            "p95_ms": round(latency.p95 * 1000, 3),
            "longest_ms": round(latency.longest * 1000, 3),
            "waits": latency.waits,
            "waited_ms": round(latency.waited * 1000, 3),
            "retries": latency.retries,
            "failed": latency.failed,
            "statement": latency.statement,
        }
        for latency in latencies(records)
    ]


def latency_lines(records: Sequence[Record], width: int, symbols: Symbols) -> list[str]:
    """Write the table in ms, the head first; nothing if each statement was sent once: the timeline shows its time."""
    found = latencies(records)
    if all(latency.count == 1 for latency in found):
        return []
    one_file = len({latency.place.path for latency in found}) == 1
    rows = [_HEAD, *(_row(latency, one_file=one_file) for latency in found)]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    room = max(_LEAST_SQL, width - sum(widths) - 2 * len(widths))
    return [_line(row, widths, room, symbols) for row in rows]


def _row(latency: Latency, *, one_file: bool) -> tuple[str, ...]:
    times = (latency.mean, latency.p95, latency.longest)
    waited = f"{latency.waited * 1000:.1f}" if latency.waits else "-"
    line = str(latency.place.line) if one_file else f"{latency.place.path.rpartition('/')[2]}:{latency.place.line}"
    numbers = (str(latency.count), *(f"{seconds * 1000:.1f}" for seconds in times), waited)
    return (latency.session, line, *numbers, str(latency.retries), latency.statement)


def _line(row: Sequence[str], widths: Sequence[int], room: int, symbols: Symbols) -> str:
    first, *numbers = (
        f"{text:<{width}}" if column == 0 else f"{text:>{width}}"
        for column, (text, width) in enumerate(zip(row[:-1], widths, strict=True))
    )
    return "  ".join([first, *numbers, shorten(row[-1], room, symbols)])
