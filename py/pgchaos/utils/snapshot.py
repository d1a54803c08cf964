"""Snapshots of what a query returns, to compare with what it returns later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import psycopg
from psycopg.rows import tuple_row

_SHOWN = 20  # rows of a difference
_Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _State:
    """What a query returned."""

    columns: tuple[str, ...]
    rows: _Rows

    def show(self, row: tuple[Any, ...]) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in zip(self.columns, row, strict=True)) or "(no columns)"


class _Snapshots(dict[str, _State]):
    """The snapshots of a connection, by name."""

    def __missing__(self, name: str) -> _State:
        raise KeyError(f"there is no snapshot {name!r}; known: {', '.join(map(repr, self)) or 'none'}")


class DatabaseStateSnapshot:
    """Compares what a connection sees with what it saw before.

    Queries run in the current transaction of the connection: at repeatable read or serializable it sees no changes of
    others.

    Args:
        conn: of any row factory.
    """

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self.conn = conn
        self._snapshots = _Snapshots()

    def capture(self, name: str, query: str, params: Sequence[Any] | None = None) -> None:
        """Take a snapshot of what a query returns; it replaces one of the same name.

        Args:
            name: of the snapshot.
            query: that returns rows.
            params: of the query.

        Raises:
            psycopg.Error: the query failed.
        """
        self._snapshots[name] = self._query(query, params)

    def compare(
        self, name: str, query: str, params: Sequence[Any] | None = None, *, ordered: bool = True
    ) -> tuple[bool, str]:
        """Compare what a query returns now with a snapshot.

        Args:
            name: of the snapshot.
            query: that returns rows.
            params: of the query.
            ordered: False to ignore the order of the rows.

        Returns:
            Whether they are equal, and the difference: missing rows with -, new rows with +.

        Raises:
            KeyError: there is no such snapshot.
            psycopg.Error: the query failed.
        """
        before = self._snapshots[name]
        return _compared(name, before, self._query(query, params), ordered)

    def _query(self, query: str, params: Sequence[Any] | None) -> _State:
        with self.conn.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(query.encode(), params)
            return _State(_columns(cursor), cursor.fetchall())


class AsyncDatabaseStateSnapshot:
    """`DatabaseStateSnapshot` for an asynchronous connection."""

    def __init__(self, conn: psycopg.AsyncConnection[Any]) -> None:
        self.conn = conn
        self._snapshots = _Snapshots()

    async def capture(self, name: str, query: str, params: Sequence[Any] | None = None) -> None:
        """Take a snapshot, as `DatabaseStateSnapshot.capture` does."""
        self._snapshots[name] = await self._query(query, params)

    async def compare(
        self, name: str, query: str, params: Sequence[Any] | None = None, *, ordered: bool = True
    ) -> tuple[bool, str]:
        """Compare what a query returns now with a snapshot, as `DatabaseStateSnapshot.compare` does."""
        before = self._snapshots[name]
        return _compared(name, before, await self._query(query, params), ordered)

    async def _query(self, query: str, params: Sequence[Any] | None) -> _State:
        async with self.conn.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(query.encode(), params)
            return _State(_columns(cursor), await cursor.fetchall())


def _columns(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> tuple[str, ...]:
    if cursor.description is None:
        raise psycopg.ProgrammingError("a snapshot needs a query that returns rows, such as a SELECT")
    return tuple(column.name for column in cursor.description)


def _compared(name: str, before: _State, now: _State, ordered: bool) -> tuple[bool, str]:
    if before.columns != now.columns:
        return False, f"{name}: columns ({', '.join(before.columns)}) became ({', '.join(now.columns)})"
    if list(map(repr, before.rows)) == list(map(repr, now.rows)):
        return True, f"{name}: unchanged ({_count(len(now.rows))})"
    gone, new = _without_order(before.rows, now.rows)
    if not gone and not new:
        if not ordered:
            return True, f"{name}: unchanged ({_count(len(now.rows))}, in another order)"
        lines = _moved(before, now)
        return False, "\n".join([f"{name}: the same {_count(len(now.rows))} in another order", *_short(lines)])
    head = f"{name}: {_count(len(before.rows))} became {len(now.rows)}: {len(gone)} gone (-), {len(new)} new (+)"
    lost, found = [f"  - {before.show(row)}" for row in gone], [f"  + {now.show(row)}" for row in new]
    return False, "\n".join([head, *_short(lost), *_short(found)])


def _without_order(before: _Rows, now: _Rows) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """List the rows that only one has, compared by repr(): values may be unhashable, or NaN, which equals nothing."""
    return _only(before, Counter(map(repr, now))), _only(now, Counter(map(repr, before)))


def _only(rows: _Rows, others: Counter[str]) -> list[tuple[Any, ...]]:
    found = []
    for row in rows:
        if others[repr(row)]:
            others[repr(row)] -= 1
        else:
            found.append(row)
    return found


def _moved(before: _State, now: _State) -> list[str]:
    matcher = SequenceMatcher(None, list(map(repr, before.rows)), list(map(repr, now.rows)), autojunk=False)
    lines = []
    for tag, first, last, from_, to in matcher.get_opcodes():
        if tag != "equal":
            lines += [f"  - {before.show(row)}" for row in before.rows[first:last]]
            lines += [f"  + {now.show(row)}" for row in now.rows[from_:to]]
    return lines


def _short(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"    … and {len(lines) - _SHOWN} more"]


def _count(number: int) -> str:
    return f"{number} row" if number == 1 else f"{number} rows"
