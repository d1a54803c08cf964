"""What the sessions did in order of time, as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from pgchaos.report.rows import connection, is_act, session_lines, shown_rows, statements
from pgchaos.results import STOPPED, Record

_LEAST_SQL = 24
_SENT = "sent: "
_HEAD = ("ms", "took", "step", "line", "statement")


def statement_table(
    records: Sequence[Record], started_at: float, *, width: int, everything: bool = False, summary: bool = False
) -> list[str]:
    """Show who ran what, in order of time."""
    ordered = _in_order(records)
    if not ordered:
        return []
    numbers: Sequence[int] = shown_rows(ordered)
    summary = summary or len(numbers) < len(ordered)
    numbers = range(len(ordered)) if everything else numbers
    shown = [ordered[number] for number in numbers]
    one_file = len({record.place.path for record in shown}) == 1
    cells = [_cells(record, started_at, one_file=one_file) for record in shown]
    widths = [max(len(row[at]) for row in (*cells, _HEAD)) for at in range(4)]
    room = max(_LEAST_SQL, width - sum(widths) - 2 * len(widths))
    margin = " " * (sum(widths) + 2 * len(widths))
    lines, last = [_line(_HEAD, widths)], -1
    for number, record, row in zip(numbers, shown, cells, strict=True):
        lines += _left_out(ordered[last + 1 : number], margin)
        last = number
        behind = _behind(record)
        sql = " ".join(row[4].split()) if everything else shorten(row[4], room - len(behind))
        lines.append(_line((*row[:4], f"{sql}{behind}"), widths))
        lines += [f"{margin}{text}" for text in (*_sent(record, 0 if everything else room), *_answer(record))]
    lines += _left_out(ordered[last + 1 :], margin)
    if len(shown) < len(ordered):
        lines.append("(-v shows all)")
    return [*lines, *(session_lines(ordered) if summary else [])]


def _left_out(rows: Sequence[Record], margin: str) -> list[str]:
    """Say in the place of rows how many they are."""
    count = sum(not is_act(record) for record in rows)
    return [f"{margin}… {count} {statements(count)} not shown …"] if count else []


def _sent(record: Record, room: int) -> list[str]:
    """Show what was sent, where variables have made it another text than the file's."""
    if not record.sent:
        return []
    written, sent = (" ".join(text.split()) for text in (record.statement, record.sent))
    room -= len(_SENT)
    if 0 < room < len(sent):
        first = next((at for at, (a, b) in enumerate(zip(written, sent)) if a != b), 0)  # noqa: B905 one is longer
        # what differs is to be seen, with some of what stands before it
        begin = max(0, min(first - room // 3, len(sent) - room + 1))
        sent = shorten(f"…{sent[begin:]}" if begin else sent, room)
    return [f"{_SENT}{sent}"]


def shorten(text: str, width: int) -> str:
    """Put a text on one line."""
    folded = " ".join(text.split())
    return folded if len(folded) <= width else folded[: max(width - 1, 0)] + "…"


def _in_order(records: Iterable[Record]) -> list[Record]:
    # a statement that was never sent has no time: it stays behind the one before it in its own connection
    latest: dict[str, float] = defaultdict(float)
    keyed: list[tuple[float, Record]] = []
    for record in records:
        who = connection(record)
        latest[who] = latest[who] if record.started_at is None else record.started_at
        keyed.append((latest[who], record))
    return [record for _, record in sorted(keyed, key=lambda pair: pair[0])]


def _cells(record: Record, started_at: float, *, one_file: bool) -> tuple[str, str, str, str, str]:
    at = "" if record.started_at is None else f"{(record.started_at - started_at) * 1000:.1f}"
    took = ""
    if record.started_at is not None:
        took = "…" if record.ended_at is None else f"{(record.ended_at - record.started_at) * 1000:.1f}"
    iteration = f"#{record.iteration}" if record.iteration > 1 else ""
    step = f".{record.step}" if record.step else ""
    who = f"{connection(record)}{step}{iteration}"
    place = record.place
    # in one file its name stands above the table
    line = str(place.line) if one_file else f"{PurePath(place.path).name}:{place.line}"
    return at, took, who, line, record.statement


def _behind(record: Record) -> str:
    """Say behind a statement which attempt it was, and how many rows it returned or changed."""
    told: list[str] = []
    if record.attempt > 1:
        told.append(f"attempt {record.attempt}")
    if record.rows is not None and record.sqlstate == "00000":
        told.append(f"{record.rows} row" if record.rows == 1 else f"{record.rows} rows")
    return f"  ({', '.join(told)})" if told else ""


def _answer(record: Record) -> list[str]:
    """Say below a statement what became of it, where that is not plain success."""
    told = list(record.notes)
    if record.waited_on or record.blocked_by:
        told.append("waited for " + ", ".join(record.waited_on + record.blocked_by))
    if record.fault:
        told.append(f"fault: {record.fault}")
    if record.skipped:
        told.append("not sent: an error had ended its transaction")
    elif record.message == STOPPED or record.ended_by:
        told.append(record.ended_by or STOPPED)
    elif record.sqlstate not in (None, "00000"):
        told.append(f"ERROR {record.sqlstate}: {shorten(record.message or '', 200)}".rstrip(": "))
    elif record.step and record.sqlstate is None and record.started_at is not None and record.ended_at is None:
        told.append("no answer: it was still running")
    elif record.tag == "ROLLBACK" and record.statement.lstrip()[:6].upper() in {"COMMIT", "END"}:
        told.append("rolled back: its transaction had failed before")
    return [f"-> {text}" for text in told]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    at, took, who, line, sql = cells
    text = f"{at:>{widths[0]}}  {took:>{widths[1]}}  {who:<{widths[2]}}  {line:>{widths[3]}}  {sql}"
    return text.rstrip()
