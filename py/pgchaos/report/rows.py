"""Which rows of a long history a report shows, and what it says of each session as a whole. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from pgchaos.results import STOPPED, Record

SLOW = 0.1
"""Seconds from which a statement counts as slow."""
_LONGEST = 0.005
"""Seconds from which the longest statement of a session is shown: below, it is chance which one that is."""
_PER_SESSION = 15
_IN_ALL = 120
_LEAST_PER_SESSION = 3


def is_act(record: Record) -> bool:
    """Say whether a row is a wait, a delay or the like, and no statement."""
    return not record.step and record.statement.startswith("--")


def connection(record: Record) -> str:
    """Name the connection of a record, as `session[worker]`."""
    return f"{record.session}[{record.worker}]"


def took(record: Record) -> float:
    """Tell how many seconds a row took; 0 where it was not sent, or has no end."""
    if record.started_at is None or record.ended_at is None:
        return 0.0
    return record.ended_at - record.started_at


def failed(record: Record) -> bool:
    """Say whether a statement brought an error, or no answer."""
    if record.skipped or is_act(record) or record.message == STOPPED:
        return False
    return record.sqlstate not in (None, "00000") or (record.started_at is not None and record.ended_at is None)


def shown_rows(ordered: Sequence[Record]) -> list[int]:
    """Choose the rows of a table: those that tell something, the end of each session, and what went on beside these."""
    sessions = {connection(record) for record in ordered}
    room = min(_IN_ALL, _PER_SESSION * len(sessions))
    if len(ordered) <= room:
        return list(range(len(ordered)))
    telling = _telling(ordered)
    chosen = {*telling[:_IN_ALL], *_last(ordered, _LEAST_PER_SESSION)}
    for number in (*_beside(telling, len(ordered)), *_backwards(ordered, max(1, room // len(sessions)))):
        if len(chosen) >= room:
            break
        chosen.add(number)
    return sorted(chosen)


def _telling(ordered: Sequence[Record]) -> list[int]:
    """List the rows that are shown first, those that matter most at the front."""
    longest: dict[str, int] = {}
    for number, record in enumerate(ordered):
        if not is_act(record) and took(record) > took(ordered[longest.setdefault(record.session, number)]):
            longest[record.session] = number
    ranks: list[tuple[int, float, int]] = []
    for number, record in enumerate(ordered):
        if (rank := _rank(record, longest.get(record.session) == number)) is not None:
            # of what failed, the last is what ended the run
            ranks.append((rank, -number if rank == 0 else -took(record), number))
    return [number for _, _, number in sorted(ranks)]


def _rank(record: Record, longest: bool) -> int | None:
    if failed(record) or record.fault:
        return 0
    if is_act(record):
        # that a barrier takes long is what it is for; one that never opened is what ended the run
        return 0 if record.ended_at is None else None
    if longest and took(record) >= _LONGEST:
        return 1
    if record.waited_on or record.blocked_by:
        return 2
    return 3 if took(record) >= SLOW else None


def _last(ordered: Sequence[Record], most: int) -> Iterator[int]:
    seen: Counter[str] = Counter()
    for number in reversed(range(len(ordered))):
        who = connection(ordered[number])
        seen[who] += 1
        if seen[who] <= most:
            yield number


def _beside(telling: Sequence[int], count: int) -> Iterator[int]:
    """List the neighbours of rows, the nearest of each first."""
    # at a distance of more, nothing new comes to what is shown already
    for distance in range(1, _PER_SESSION + 1):
        for number in telling:
            yield from (near for near in (number - distance, number + distance) if 0 <= near < count)


def _backwards(ordered: Sequence[Record], most: int) -> Iterator[int]:
    """List the last rows of every session, level by level, so that none takes the room of another."""
    levels: defaultdict[int, list[int]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for number in _last(ordered, most):
        seen[connection(ordered[number])] += 1
        levels[seen[connection(ordered[number])]].append(number)
    for level in sorted(levels):
        yield from levels[level]


def session_lines(records: Sequence[Record]) -> list[str]:
    """Sum up each session in one line."""
    of: dict[str, list[Record]] = {}
    for record in records:
        if not is_act(record):
            of.setdefault(record.session, []).append(record)
    return [f"{session}: {_summary(own)}" for session, own in of.items()]


def _summary(own: Sequence[Record]) -> str:
    parts = [f"{len(own)} {statements(len(own))}"]
    longest = max(own, key=took)
    if took(longest):
        waited = longest.waited_on + longest.blocked_by
        whom = f" (waited for {', '.join(waited)})" if waited else ""
        parts.append(f"longest {_milliseconds(took(longest))} ms{whom}")
    counts = {
        "waited": sum(bool(record.waited_on or record.blocked_by) for record in own),
        "failed": sum(map(failed, own)),
        "struck by a fault": sum(bool(record.fault) for record in own),
        "not sent": sum(record.skipped for record in own),
    }
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    return ", ".join(parts)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}" if seconds >= 0.01 else f"{seconds * 1000:.1f}"


def statements(count: int) -> str:
    """Write the word for so many."""
    return "statement" if count == 1 else "statements"
