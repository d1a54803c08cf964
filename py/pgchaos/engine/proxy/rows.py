"""Parses the rows that a server sends. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from pgchaos.engine.proxy.messages import HEADER, ROW, ROWS, text_at
from pgchaos.engine.proxy.requests import Portal, Statement
from pgchaos.engine.proxy.values import shown
from pgchaos.server_text import decoded

_INT16, _INT32 = Struct("!h"), Struct("!i")
_COLUMN = Struct("!IhIhih")
_NO_DATA = ord("n")


class Column(NamedTuple):
    """A column of a result."""

    name: str
    table: int  # its OID; 0: computed
    number: int  # in its table; 0: computed
    type: int  # its OID
    binary: bool


class ResultRows(NamedTuple):
    """A result as the server sent it."""

    tag: str
    description: bytes  # a RowDescription; empty: it returns no rows
    data: bytes  # DataRow messages

    def columns(self) -> tuple[Column, ...]:
        """Parse its columns."""
        if not self.description:
            return ()
        (count,) = _INT16.unpack_from(self.description, HEADER)
        at, found = HEADER + 2, []
        for _ in range(count):
            name, at = text_at(self.description, at)
            table, number, kind, _, _, form = _COLUMN.unpack_from(self.description, at)
            at += _COLUMN.size
            found.append(Column(decoded(name), table, number, kind, binary=form == 1))
        return tuple(found)

    def rows(self, columns: tuple[Column, ...]) -> Iterator[tuple[str | None, ...]]:
        """Parse its rows as text, None for NULL."""
        at = 0
        while at < len(self.data):
            (length,) = _INT32.unpack_from(self.data, at + 1)
            yield tuple(self._cells(at + HEADER, columns))
            at += 1 + length

    def _cells(self, at: int, columns: tuple[Column, ...]) -> Iterator[str | None]:
        (count,) = _INT16.unpack_from(self.data, at)
        at += 2
        for number in range(count):
            (length,) = _INT32.unpack_from(self.data, at)
            at += 4
            if length < 0:
                yield None
                continue
            column = columns[number] if number < len(columns) else Column("", 0, 0, 0, binary=False)
            yield shown(self.data[at : at + length], column.type, binary=column.binary)
            at += length


@dataclass(slots=True)
class PartialResult:
    """The result that is being received."""

    describing: Statement | None = None  # a statement whose description is answered next
    _description: bytes = b""
    _data: list[bytes] = field(default_factory=list)

    def add(self, kind: int, raw: bytes) -> None:
        """Add a message."""
        if kind == ROW:
            self._data.append(raw)
        elif kind == ROWS and self.describing is not None:
            self.describing.columns, self.describing = raw, None
        elif kind == ROWS:
            self._description = raw
        elif kind == _NO_DATA:
            self.describing = None

    def take(self, tag: str, portal: Portal | None) -> ResultRows:
        """Return the result, which is complete now, and begin another.

        Args:
            tag: of its command.
            portal: that was executed, or None for a query.
        """
        description = self._description or (portal.statement.columns if portal is not None else b"")
        found = ResultRows(tag, description, b"".join(self._data))
        self._description, self._data = b"", []
        return found
