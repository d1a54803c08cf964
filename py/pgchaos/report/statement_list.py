"""Writes the statements of a run as one list in order of time, if there is no room for columns of sessions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import PurePath

from rich.cells import cell_len, set_cell_size

from pgchaos.report.formatting import PLAIN, Symbols, milliseconds, parameters, row_count, statements
from pgchaos.report.important_rows import shown_rows
from pgchaos.report.lanes import as_written, connection_of, has_failed, in_order, kind_of, outcome
from pgchaos.results import Record

_LONGEST_MESSAGE = 240
_LEAST_SQL = 24  # columns
_SENT = "sent: "
_HEAD = ("ms", "took", "step", "line", "statement")


def statement_list(
    records: Sequence[Record],
    started_at: float,
    *,
    width: int,
    everything: bool = False,
    summary: bool = False,
    symbols: Symbols = PLAIN,
) -> list[str]:
    """Write the table of statements and of the engine's actions between them, the head first.

    `everything`: all rows, untruncated. With `summary`, or if rows are hidden, add a line for each session.
    """
    ordered = _faults_first(in_order(records))
    if not ordered:
        return []
    numbers: Sequence[int] = shown_rows(ordered)
    summary = summary or len(numbers) < len(ordered)
    numbers = range(len(ordered)) if everything else numbers
    shown = [ordered[number] for number in numbers]
    one_file = len({record.place.path for record in shown}) == 1
    rows = [_columns(record, started_at, one_file=one_file) for record in shown]
    head = _HEAD if any(row[3] for row in rows) else (*_HEAD[:3], "", _HEAD[4])
    widths = [max(len(row[column]) for row in (*rows, head)) for column in range(4)]
    before = len(_line(("", "", "", "", "."), widths)) - 1
    room = max(_LEAST_SQL, width - before)
    margin = " " * before
    lines, last = [_line(head, widths)], -1
    for number, record, row in zip(numbers, shown, rows, strict=True):
        lines += _left_out(ordered[last + 1 : number], margin, symbols)
        last = number
        count = _count(record)
        sql = " ".join(row[4].split()) if everything else shorten(row[4], room - len(count), symbols)
        lines.append(_line((*row[:4], f"{sql}{count}"), widths))
        lines += [f"{margin}{text}" for text in _sent(record, 0 if everything else room, symbols)]
        # messages must not make the table wider than the terminal
        texts = [*filter(None, [parameters(record)]), *_outcome(record, symbols)]
        below = (textwrap.wrap(text, room, subsequent_indent="   ") for text in texts)
        lines += [f"{margin}{line}" for wrapped in below for line in wrapped]
    lines += _left_out(ordered[last + 1 :], margin, symbols)
    if len(shown) < len(ordered):
        lines.append("(-v shows all)")
    return [*lines, *(session_lines(ordered, width) if summary else [])]


def _faults_first(records: Sequence[Record]) -> list[Record]:
    """Move a fault that was delivered during a statement of its own session before it: the row also shows the end."""
    ordered: list[Record] = []
    latest: dict[str, Record] = {}
    for record in records:
        name = connection_of(record)
        if kind_of(record) == "statement":
            latest[name] = record
        last = latest.get(name)
        if kind_of(record) == "fault" and last is not None and last.fault and _begins_during(record, last):
            at = next(number for number in range(len(ordered) - 1, -1, -1) if ordered[number] is last)
            ordered.insert(at, record)
        else:
            ordered.append(record)
    return ordered


def _begins_during(record: Record, statement: Record) -> bool:
    if record.started_at is None or statement.started_at is None:
        return False
    return statement.ended_at is None or record.started_at < statement.ended_at


def _columns(record: Record, started_at: float, *, one_file: bool) -> tuple[str, str, str, str, str]:
    at = took = ""
    if record.started_at is not None:
        at = f"{(record.started_at - started_at) * 1000:.1f}"
        took = "…" if record.ended_at is None else f"{(record.ended_at - record.started_at) * 1000:.1f}"
    iteration = f"#{record.iteration}" if record.iteration > 1 else ""
    step = f".{record.step}" if record.step else ""
    place = record.place
    # if all rows are of one file, the title names it
    line = str(place.line) if one_file else f"{PurePath(place.path).name}:{place.line}"
    if not record.has_line:
        line = ""
    sql = f"! {as_written(record)}" if kind_of(record) == "fault" else record.statement
    return at, took, f"{connection_of(record)}{step}{iteration}", line, sql


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    at, took, step, line, sql = row
    middle = f"{line:>{widths[3]}}  " if widths[3] else ""  # rows may have no lines at all
    return f"{at:>{widths[0]}}  {took:>{widths[1]}}  {step:<{widths[2]}}  {middle}{sql}".rstrip()


def _left_out(rows: Sequence[Record], margin: str, symbols: Symbols) -> list[str]:
    count = sum(kind_of(record) == "statement" for record in rows)
    return [f"{margin}{symbols.cut} {statements(count)} not shown {symbols.cut}"] if count else []


def _count(record: Record) -> str:
    """Write the number of the attempt, and how many rows a statement returned or changed."""
    texts: list[str] = []
    if record.attempt > 1:
        texts.append(f"attempt {record.attempt}")
    if record.rows is not None and record.sqlstate == "00000":
        texts.append(row_count(record.rows))
    return f"  ({', '.join(texts)})" if texts else ""


def _sent(record: Record, room: int, symbols: Symbols) -> list[str]:
    """Write what was sent, if variables made it differ from the file; truncated to `room`, unless 0."""
    if not record.sent:
        return []
    written, sent = (" ".join(text.split()) for text in (record.statement, record.sent))
    room -= len(_SENT)
    if 0 < room < len(sent):
        first = next((at for at, (a, b) in enumerate(zip(written, sent)) if a != b), 0)  # noqa: B905 one is longer
        # keep the first difference visible, with some text before it
        begin = max(0, min(first - room // 3, len(sent) - room + 1))
        sent = shorten(f"{symbols.cut}{sent[begin:]}" if begin else sent, room, symbols)
    return [f"{_SENT}{sent}"]


def _outcome(record: Record, symbols: Symbols) -> list[str]:
    """Write what happened to a statement, if it did not simply succeed."""
    texts = list(record.notes)
    if record.waited_on or record.blocked_by:
        texts.append("waited for " + ", ".join(record.waited_on + record.blocked_by))
    if record.fault:
        texts.append(f"fault: {record.fault}")
    _, text = outcome(record)
    if text:
        texts.append(shorten(text, _LONGEST_MESSAGE, symbols))
    return [f"-> {text}" for text in texts]


def session_lines(records: Sequence[Record], width: int) -> list[str]:
    """Summarize each session in one line, folded to the width of the terminal."""
    by_session: dict[str, list[Record]] = {}
    for record in records:
        if kind_of(record) == "statement":
            by_session.setdefault(record.session, []).append(record)
    texts = (f"{session}: {_summary(own)}" for session, own in by_session.items())
    return [line for text in texts for line in textwrap.wrap(text, width, subsequent_indent="    ")]


def _summary(records: Sequence[Record]) -> str:
    parts = [statements(len(records))]
    longest = max(records, key=lambda record: record.seconds)
    if longest.seconds:
        waited = longest.waited_on + longest.blocked_by
        holders = f" (waited for {', '.join(waited)})" if waited else ""
        parts.append(f"longest {milliseconds(longest.seconds)} ms{holders}")
    counts = {
        "waited": sum(bool(record.waited_on or record.blocked_by) for record in records),
        "failed": sum(map(has_failed, records)),
        "hit by a fault": sum(bool(record.fault) for record in records),
        "not sent": sum(record.skipped for record in records),
    }
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    return ", ".join(parts)


def shorten(text: str, width: int, symbols: Symbols = PLAIN) -> str:
    """Put a text on one line, and truncate it."""
    folded = " ".join(text.split())
    if cell_len(folded) <= width:
        return folded
    return set_cell_size(folded, max(width - len(symbols.cut), 0)) + symbols.cut
