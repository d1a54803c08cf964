"""Which rows of a long run explain most."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from pgchaos.report.lanes import connection_of, has_failed, kind_of, took
from pgchaos.results import Record

_SLOW = 0.1  # seconds; slower statements are shown first
# The longest statement of a session is shown too, unless it is shorter: then chance decides which one it is.
_LONGEST = 0.005
_ROWS_PER_SESSION = 15
_LAST_PER_SESSION = 3  # rows at the end of a session that are always shown
_ROWS = 120


def shown_rows(ordered: Sequence[Record]) -> list[int]:
    """Choose rows: those that explain most, the last ones of each session, and their neighbours."""
    sessions = {connection_of(record) for record in ordered}
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
        if kind_of(record) == "statement" and took(record) > took(ordered[longest.setdefault(record.session, number)]):
            longest[record.session] = number
    ranks: list[tuple[int, float, int]] = []
    for number, record in enumerate(ordered):
        if (rank := _rank(record, longest.get(record.session) == number)) is not None:
            # the last failure is the one that ended the run
            ranks.append((rank, -number if rank == 0 else -took(record), number))
    return [number for _, _, number in sorted(ranks)]


def _rank(record: Record, longest: bool) -> int | None:
    if has_failed(record) or record.fault or kind_of(record) == "fault":
        return 0
    if kind_of(record) != "statement":
        # a barrier is meant to take long; one that never opened ended the run
        return 0 if record.ended_at is None else None
    if longest and took(record) >= _LONGEST:
        return 1
    if record.waited_on or record.blocked_by:
        return 2
    return 3 if took(record) >= _SLOW else None


def _last(ordered: Sequence[Record], most: int) -> Iterator[int]:
    seen: Counter[str] = Counter()
    for number in reversed(range(len(ordered))):
        name = connection_of(ordered[number])
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
        name = connection_of(ordered[number])
        seen[name] += 1
        levels[seen[name]].append(number)
    for level in sorted(levels):
        yield from levels[level]
