"""Groups the messages of a client into requests, the units that can be held and have one answer. Pure.

A request is a simple query, a function call, or an Execute with its Parse, Bind and Describe and the Sync that follows
at once, which commits it. In a pipeline each Execute is a request. Messages that only prepare are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct, error
from typing import Literal, NamedTuple

from pgchaos.engine.proxy.messages import (
    BIND,
    CLOSE,
    COPY_DATA,
    COPY_DONE,
    COPY_FAIL,
    DESCRIBE,
    EXECUTE,
    FLUSH,
    FUNCTION,
    HEADER,
    PARSE,
    QUERY,
    SYNC,
    TERMINATE,
    ProtocolError,
    text_at,
)
from pgchaos.engine.proxy.values import shown

_INT16, _INT32 = Struct("!h"), Struct("!i")
_NULL = -1


@dataclass(slots=True, eq=False)
class Statement:
    """A prepared statement."""

    sql: bytes
    types: tuple[int, ...] = ()  # OIDs of its parameters, 0: chosen by the server, until an answer to a Describe
    columns: bytes = b""  # the RowDescription in the answer to a Describe, if rows are kept


class Portal(NamedTuple):
    """A statement and its Bind message."""

    statement: Statement
    bind: bytes
    at: int  # the start of the parameters' formats


@dataclass(slots=True, eq=False)
class Request:
    """A request of a client."""

    number: int  # in its connection, from 1
    kind: Literal["query", "execute", "function"]
    text: bytes = b""  # of a query
    portal: Portal | None = None  # of an Execute
    synced: bool = False  # its Sync, which commits outside a block, was sent with it
    pipelined: bool = False  # the client sent more before it had an answer
    encoding: str = "utf-8"
    _parameters: tuple[str | None, ...] | None = field(default=None, repr=False)

    @property
    def sql(self) -> str:
        """Its SQL, with $1 for parameters; '' for a function call."""
        text = self.portal.statement.sql if self.portal is not None else self.text
        return text.decode(self.encoding, "surrogateescape")

    @property
    def parameters(self) -> tuple[str | None, ...]:
        """The values of its parameters as text, None for NULL; a binary value of an unknown type in hexadecimal."""
        if self._parameters is None:
            self._parameters = () if self.portal is None else _parameters(self.portal, self.encoding)
        return self._parameters


class Unit(NamedTuple):
    """Messages that are passed on together."""

    data: bytes
    request: Request | None = None  # that they make up; None: they are not held
    syncs: bool = False  # they have a Sync that belongs to no request
    copy: Literal["", "done"] = ""  # 'done': they end a COPY from the client


class RequestAssembler:
    """Groups the messages of one client."""

    def __init__(self) -> None:
        self.statements: dict[bytes, Statement] = {}
        self.described: list[bytes] = []
        """Statements with a pending Describe, in order."""
        self.encoding = "utf-8"
        self.copying = False
        """The server reads data of a COPY, and ignores a Sync meanwhile."""
        self.terminated = False
        """The client has sent Terminate."""
        self._portals: dict[bytes, Portal] = {}
        self._pending: list[bytes] = []
        self._execute: Request | None = None
        self._number = 0

    def add(self, kind: int, raw: bytes) -> list[Unit]:
        """Add a message.

        Args:
            kind: of the message.
            raw: its bytes, or a part of COPY data.

        Returns:
            The units that can be passed on now.

        Raises:
            ProtocolError: it is malformed.
        """
        if kind == QUERY:
            return [*self.flush(pipelined=True), Unit(raw, self._request("query", text_at(raw, HEADER)[0]))]
        if kind in (PARSE, BIND, DESCRIBE, CLOSE, EXECUTE):
            units = self.flush(pipelined=True) if self._execute is not None else []
            self._extended(kind, raw)
            self._pending.append(raw)
            return units
        if kind == SYNC:
            return self._sync(raw)
        if kind == FLUSH:
            self._pending.append(raw)
            return self.flush()
        if kind == FUNCTION:
            return [*self.flush(pipelined=True), Unit(raw, self._request("function"))]
        if kind in (COPY_DONE, COPY_FAIL):
            self.copying = False
            return [*self.flush(), Unit(raw, copy="done")]
        self.terminated = self.terminated or kind == TERMINATE
        return [*self.flush(), Unit(raw)] if kind != COPY_DATA or self._pending else [Unit(raw)]

    def flush(self, *, pipelined: bool = False) -> list[Unit]:
        """Return the buffered messages as a unit.

        Args:
            pipelined: more messages follow, without a Sync or Flush before them.
        """
        if not self._pending:
            return []
        request, self._execute = self._execute, None
        if request is not None:
            request.pipelined = pipelined
        unit = Unit(b"".join(self._pending), request)
        self._pending.clear()
        return [unit]

    def _sync(self, raw: bytes) -> list[Unit]:
        if self.copying:
            return [*self.flush(), Unit(raw)]
        self._pending.append(raw)
        request, self._execute = self._execute, None
        if request is not None:
            request.synced = True
        unit = Unit(b"".join(self._pending), request, syncs=request is None)
        self._pending.clear()
        return [unit]

    def _request(self, kind: Literal["query", "execute", "function"], text: bytes = b"") -> Request:
        self._number += 1
        return Request(self._number, kind, text, encoding=self.encoding)

    def _extended(self, kind: int, raw: bytes) -> None:
        if kind == PARSE:
            name, at = text_at(raw, HEADER)
            sql, at = text_at(raw, at)
            self.statements[name] = Statement(sql, _types(raw, at))
        elif kind == BIND:
            name, at = text_at(raw, HEADER)
            statement, at = text_at(raw, at)
            self._portals[name] = Portal(self.statements.get(statement) or Statement(b""), raw, at)
        elif kind == EXECUTE:
            name, _ = text_at(raw, HEADER)
            self._execute = self._request("execute")
            self._execute.portal = self._portals.get(name) or Portal(Statement(b""), b"", 0)
        elif kind == DESCRIBE:
            if raw[HEADER : HEADER + 1] == b"S":
                self.described.append(text_at(raw, HEADER + 1)[0])
        elif raw[HEADER : HEADER + 1] == b"S":
            self.statements.pop(text_at(raw, HEADER + 1)[0], None)
        else:
            self._portals.pop(text_at(raw, HEADER + 1)[0], None)


def _types(raw: bytes, at: int) -> tuple[int, ...]:
    try:
        (number,) = _INT16.unpack_from(raw, at)
        return tuple(_INT32.unpack_from(raw, at + 2 + 4 * one)[0] & 0xFFFFFFFF for one in range(number))
    except error:
        raise ProtocolError("a Parse message ends too soon") from None


def _parameters(portal: Portal, encoding: str) -> tuple[str | None, ...]:
    """Read the values of a Bind; none if it is malformed, which the server will refuse."""
    try:
        return tuple(_values(portal, encoding))
    except (error, IndexError):
        return ()


def _values(portal: Portal, encoding: str) -> list[str | None]:
    raw, at = portal.bind, portal.at
    if not raw:
        return []
    (number,) = _INT16.unpack_from(raw, at)
    formats = [_INT16.unpack_from(raw, at + 2 + 2 * one)[0] for one in range(number)]
    at += 2 + 2 * number
    (count,) = _INT16.unpack_from(raw, at)
    at += 2
    values: list[str | None] = []
    for one in range(count):
        (length,) = _INT32.unpack_from(raw, at)
        at += 4
        if length == _NULL:
            values.append(None)
            continue
        binary = formats[one if len(formats) > 1 else 0] if formats else 0
        types = portal.statement.types
        values.append(
            shown(raw[at : at + length], types[one] if one < len(types) else 0, encoding, binary=bool(binary))
        )
        at += max(0, length)
    return values
