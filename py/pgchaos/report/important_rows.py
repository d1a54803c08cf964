"""Chooses the rows of a long run that explain most."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence

from pgchaos.report.lanes import connection_of, has_failed, kind_of
from pgchaos.results import Record

_SLOW = 0.1  # seconds; slower statements are shown first
# The longest statement of a session is also shown; if it is shorter, which one is longest is random.
_LONGEST = 0.005
_ROWS_PER_SESSION = 15
_LAST_PER_SESSION = 3  # rows at the end of a session that are always shown
_ROWS = 120


def shown_rows(ordered: Sequence[Record]) -> list[int]:
    """Choose rows: those that explain most, the last ones of each session, and their neighbours."""
    names = [connection_of(record) for record in ordered]
    sessions = len(set(names))
    room = min(_ROWS, _ROWS_PER_SESSION * sessions)
    if len(ordered) <= room:
        return list(range(len(ordered)))
    important = _important(ordered)
    chosen = {*important[:_ROWS], *last_of_each(names, _LAST_PER_SESSION)}
    # rows at a greater distance are never chosen: the room is used up before
    near = neighbours(important, len(ordered), _ROWS_PER_SESSION)
    for number in (*near, *_backwards(names, max(1, room // sessions))):
        if len(chosen) >= room:
            break
        chosen.add(number)
    return sorted(chosen)


def _important(ordered: Sequence[Record]) -> list[int]:
    """Return the rows that explain something, the most important first."""
    longest: dict[str, int] = {}
    for number, record in enumerate(ordered):
        if kind_of(record) == "statement":
            before = ordered[longest.setdefault(record.session, number)]
            if record.seconds > before.seconds:
                longest[record.session] = number
    ranks: list[tuple[int, float, int]] = []
    for number, record in enumerate(ordered):
        if (rank := _rank(record, longest.get(record.session) == number)) is not None:
            # the last failure ended the run
            ranks.append((rank, -number if rank == 0 else -record.seconds, number))
    return [number for _, _, number in sorted(ranks)]


def _rank(record: Record, longest: bool) -> int | None:
    if has_failed(record) or record.fault or kind_of(record) == "fault":
        return 0
    if kind_of(record) != "statement":
        # a barrier may take long; one that never opened ended the run
        return 0 if record.ended_at is None else None
    if longest and record.seconds >= _LONGEST:
        return 1
    if record.waited_on or record.blocked_by:
        return 2
    return 3 if record.seconds >= _SLOW else None


def last_of_each(names: Sequence[Hashable], most: int) -> Iterator[int]:
    """Yield the numbers of the last rows of each name, backwards."""
    seen: Counter[Hashable] = Counter()
    for number in reversed(range(len(names))):
        seen[names[number]] += 1
        if seen[names[number]] <= most:
            yield number


def neighbours(rows: Sequence[int], count: int, most: int) -> Iterator[int]:
    """Yield the neighbours of rows up to a distance, the nearest of each first."""
    for distance in range(1, most + 1):
        for number in rows:
            yield from (near for near in (number - distance, number + distance) if 0 <= near < count)


def _backwards(names: Sequence[str], most: int) -> Iterator[int]:
    """Yield the last row of every session, then the last but one of every session, and so on."""
    seen: Counter[str] = Counter()
    levels: defaultdict[int, list[int]] = defaultdict(list)
    for number in last_of_each(names, most):
        seen[names[number]] += 1
        levels[seen[names[number]]].append(number)
    for level in sorted(levels):
        yield from levels[level]
