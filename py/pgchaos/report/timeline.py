"""The statements of a run in order of time, as a table; of a long run the rows that explain most."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

from pgchaos.results import STOPPED, Record

_SLOW = 0.1  # seconds; slower statements are shown first
# The longest statement of a session is shown too, unless it is shorter: then chance decides which one it is.
_LONGEST = 0.005
_ROWS_PER_SESSION = 15
_LAST_PER_SESSION = 3  # rows at the end of a session that are always shown
_ROWS = 120

_LEAST_SQL = 24  # columns
_SENT = "sent: "
_HEAD = ("ms", "took", "step", "line", "statement")


def timeline(
    records: Sequence[Record], started_at: float, *, width: int, everything: bool = False, summary: bool = False
) -> list[str]:
    """Write the table.

    Args:
        records: statements, and what the engine did between them, in any order.
        started_at: of the run.
        width: in columns.
        everything: all rows, each whole.
        summary: add a line for each session; it is always added where rows are left out.

    Returns:
        Its lines, the head first; none without records.
    """
    ordered = _in_order(records)
    if not ordered:
        return []
    numbers: Sequence[int] = shown_rows(ordered)
    summary = summary or len(numbers) < len(ordered)
    numbers = range(len(ordered)) if everything else numbers
    shown = [ordered[number] for number in numbers]
    one_file = len({record.place.path for record in shown}) == 1
    rows = [_columns(record, started_at, one_file=one_file) for record in shown]
    widths = [max(len(row[column]) for row in (*rows, _HEAD)) for column in range(4)]
    room = max(_LEAST_SQL, width - sum(widths) - 2 * len(widths))
    margin = " " * (sum(widths) + 2 * len(widths))
    lines, last = [_line(_HEAD, widths)], -1
    for number, record, row in zip(numbers, shown, rows, strict=True):
        lines += _left_out(ordered[last + 1 : number], margin)
        last = number
        count = _count(record)
        sql = " ".join(row[4].split()) if everything else shorten(row[4], room - len(count))
        lines.append(_line((*row[:4], f"{sql}{count}"), widths))
        lines += [f"{margin}{text}" for text in (*_sent(record, 0 if everything else room), *_outcome(record))]
    lines += _left_out(ordered[last + 1 :], margin)
    if len(shown) < len(ordered):
        lines.append("(-v shows all)")
    return [*lines, *(session_lines(ordered) if summary else [])]


def _in_order(records: Iterable[Record]) -> list[Record]:
    # a statement that was never sent has no time: it follows the one before it on its own connection
    latest: dict[str, float] = defaultdict(float)
    keyed: list[tuple[float, Record]] = []
    for record in records:
        name = _connection(record)
        latest[name] = latest[name] if record.started_at is None else record.started_at
        keyed.append((latest[name], record))
    return [record for _, record in sorted(keyed, key=lambda pair: pair[0])]


def _columns(record: Record, started_at: float, *, one_file: bool) -> tuple[str, str, str, str, str]:
    at = took = ""
    if record.started_at is not None:
        at = f"{(record.started_at - started_at) * 1000:.1f}"
        took = "…" if record.ended_at is None else f"{(record.ended_at - record.started_at) * 1000:.1f}"
    iteration = f"#{record.iteration}" if record.iteration > 1 else ""
    step = f".{record.step}" if record.step else ""
    place = record.place
    # where all rows are of one file, its name is in the title
    line = str(place.line) if one_file else f"{PurePath(place.path).name}:{place.line}"
    return at, took, f"{_connection(record)}{step}{iteration}", line, record.statement


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    at, took, step, line, sql = row
    text = f"{at:>{widths[0]}}  {took:>{widths[1]}}  {step:<{widths[2]}}  {line:>{widths[3]}}  {sql}"
    return text.rstrip()


def _left_out(rows: Sequence[Record], margin: str) -> list[str]:
    count = sum(not _is_act(record) for record in rows)
    return [f"{margin}… {count} {_statements(count)} not shown …"] if count else []


def _count(record: Record) -> str:
    """Which attempt a statement was, and how many rows it returned or changed."""
    texts: list[str] = []
    if record.attempt > 1:
        texts.append(f"attempt {record.attempt}")
    if record.rows is not None and record.sqlstate == "00000":
        texts.append(f"{record.rows} row" if record.rows == 1 else f"{record.rows} rows")
    return f"  ({', '.join(texts)})" if texts else ""


def _sent(record: Record, room: int) -> list[str]:
    """What was sent, where variables made it differ from the file; `room` of 0 means all of it."""
    if not record.sent:
        return []
    written, sent = (" ".join(text.split()) for text in (record.statement, record.sent))
    room -= len(_SENT)
    if 0 < room < len(sent):
        first = next((at for at, (a, b) in enumerate(zip(written, sent)) if a != b), 0)  # noqa: B905 one is longer
        # keep the first difference visible, with some text before it
        begin = max(0, min(first - room // 3, len(sent) - room + 1))
        sent = shorten(f"…{sent[begin:]}" if begin else sent, room)
    return [f"{_SENT}{sent}"]


def _outcome(record: Record) -> list[str]:
    """What happened to a statement, where it did not just succeed."""
    texts = list(record.notes)
    if record.waited_on or record.blocked_by:
        texts.append("waited for " + ", ".join(record.waited_on + record.blocked_by))
    if record.fault:
        texts.append(f"fault: {record.fault}")
    if record.skipped:
        texts.append("not sent: its transaction had already failed")
    elif record.message == STOPPED or record.ended_by:
        texts.append(record.ended_by or STOPPED)
    elif record.sqlstate not in (None, "00000"):
        texts.append(f"ERROR {record.sqlstate}: {shorten(record.message or '', 200)}".rstrip(": "))
    elif record.step and record.sqlstate is None and record.started_at is not None and record.ended_at is None:
        texts.append("no answer: it was still running")
    elif record.tag == "ROLLBACK" and record.statement.lstrip()[:6].upper() in {"COMMIT", "END"}:
        texts.append("rolled back: its transaction had already failed")
    return [f"-> {text}" for text in texts]


def shown_rows(ordered: Sequence[Record]) -> list[int]:
    """Choose rows: those that explain most, the last ones of each session, and their neighbours."""
    sessions = {_connection(record) for record in ordered}
    room = min(_ROWS, _ROWS_PER_SESSION * len(sessions))
    if len(ordered) <= room:
        return list(range(len(ordered)))
    important = _important(ordered)
    chosen = {*important[:_ROWS], *_last(ordered, _LAST_PER_SESSION)}
    for number in (*_neighbours(important, len(ordered)), *_backwards(ordered, max(1, room // len(sessions)))):
        if len(chosen) >= room:
            break
        chosen.add(number)
    return sorted(chosen)


def _important(ordered: Sequence[Record]) -> list[int]:
    """The rows that explain something, the most important first."""
    longest: dict[str, int] = {}
    for number, record in enumerate(ordered):
        if not _is_act(record) and _took(record) > _took(ordered[longest.setdefault(record.session, number)]):
            longest[record.session] = number
    ranks: list[tuple[int, float, int]] = []
    for number, record in enumerate(ordered):
        if (rank := _rank(record, longest.get(record.session) == number)) is not None:
            # the last failure is the one that ended the run
            ranks.append((rank, -number if rank == 0 else -_took(record), number))
    return [number for _, _, number in sorted(ranks)]


def _rank(record: Record, longest: bool) -> int | None:
    if _failed(record) or record.fault:
        return 0
    if _is_act(record):
        # a barrier is meant to take long; one that never opened ended the run
        return 0 if record.ended_at is None else None
    if longest and _took(record) >= _LONGEST:
        return 1
    if record.waited_on or record.blocked_by:
        return 2
    return 3 if _took(record) >= _SLOW else None


def _last(ordered: Sequence[Record], most: int) -> Iterator[int]:
    seen: Counter[str] = Counter()
    for number in reversed(range(len(ordered))):
        name = _connection(ordered[number])
        seen[name] += 1
        if seen[name] <= most:
            yield number


def _neighbours(rows: Sequence[int], count: int) -> Iterator[int]:
    """The neighbours of rows, the nearest of each first."""
    # further away no row can be chosen: the room is used up before
    for distance in range(1, _ROWS_PER_SESSION + 1):
        for number in rows:
            yield from (near for near in (number - distance, number + distance) if 0 <= near < count)


def _backwards(ordered: Sequence[Record], most: int) -> Iterator[int]:
    """The last row of every session, then the last but one of every session, and so on."""
    levels: defaultdict[int, list[int]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for number in _last(ordered, most):
        name = _connection(ordered[number])
        seen[name] += 1
        levels[seen[name]].append(number)
    for level in sorted(levels):
        yield from levels[level]


def session_lines(records: Sequence[Record]) -> list[str]:
    """Sum up each session in one line."""
    by_session: dict[str, list[Record]] = {}
    for record in records:
        if not _is_act(record):
            by_session.setdefault(record.session, []).append(record)
    return [f"{session}: {_summary(own)}" for session, own in by_session.items()]


def _summary(records: Sequence[Record]) -> str:
    parts = [f"{len(records)} {_statements(len(records))}"]
    longest = max(records, key=_took)
    if _took(longest):
        waited = longest.waited_on + longest.blocked_by
        whom = f" (waited for {', '.join(waited)})" if waited else ""
        parts.append(f"longest {_milliseconds(_took(longest))} ms{whom}")
    counts = {
        "waited": sum(bool(record.waited_on or record.blocked_by) for record in records),
        "failed": sum(map(_failed, records)),
        "hit by a fault": sum(bool(record.fault) for record in records),
        "not sent": sum(record.skipped for record in records),
    }
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    return ", ".join(parts)


def shorten(text: str, width: int) -> str:
    """Put a text on one line, and cut it."""
    folded = " ".join(text.split())
    return folded if len(folded) <= width else folded[: max(width - 1, 0)] + "…"


def _is_act(record: Record) -> bool:
    """Whether a record is a wait, a delay or the like of the engine, and not a statement."""
    return not record.step and record.statement.startswith("--")


def _connection(record: Record) -> str:
    return f"{record.session}[{record.worker}]"


def _took(record: Record) -> float:
    if record.started_at is None or record.ended_at is None:
        return 0.0
    return record.ended_at - record.started_at


def _failed(record: Record) -> bool:
    """Whether a statement had an error or no answer of its own; one that was stopped with the run has not failed."""
    if record.skipped or _is_act(record) or record.message == STOPPED:
        return False
    return record.sqlstate not in (None, "00000") or (record.started_at is not None and record.ended_at is None)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}" if seconds >= 0.01 else f"{seconds * 1000:.1f}"


def _statements(count: int) -> str:
    return "statement" if count == 1 else "statements"
