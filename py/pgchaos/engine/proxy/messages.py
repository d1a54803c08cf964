"""Splits a stream into messages of the protocol, and builds those of the proxy itself. Pure.

See PostgreSQL docs, "Frontend/Backend Protocol", versions 3.0 and 3.2: after the startup packet each message has a byte
for its kind, four bytes for its length (which includes them), and its body.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from pgchaos.server_text import decoded

_HEADER = Struct("!BI")
_LENGTH = Struct("!I")
HEADER = _HEADER.size
"""Bytes before the body of a message."""

_SMALL, _LARGE = 10_000, (1 << 30) - 2
"""The server's limits for received messages (PQ_SMALL_MESSAGE_LIMIT, PQ_LARGE_MESSAGE_LIMIT)."""
_ANSWER = 30_000
"""libpq's limit for most answers (VALID_LONG_MESSAGE_TYPE)."""

QUERY, PARSE, BIND, EXECUTE, DESCRIBE, CLOSE, SYNC, FLUSH, FUNCTION = b"QPBEDCSHF"
COPY_DATA, COPY_DONE, COPY_FAIL, PASSWORD, TERMINATE = b"dcfpX"

FRONTEND: Mapping[int, int] = {
    **dict.fromkeys((QUERY, PARSE, BIND, FUNCTION, COPY_DATA), _LARGE),
    **dict.fromkeys((EXECUTE, DESCRIBE, CLOSE, SYNC, FLUSH, COPY_DONE, COPY_FAIL, PASSWORD, TERMINATE), _SMALL),
}
"""Messages of a connected client, and the maximum length of each."""

READY, COMPLETE, EMPTY, SUSPENDED, ERROR, NOTICE, NOTIFICATION, STATUS = b"ZCIsENAS"
ROWS, ROW, PARAMETERS, COPY_IN, COPY_OUT, COPY_BOTH, FUNCTION_RESULT = b"TDtGHWV"

BACKEND: Mapping[int, int] = {
    **dict.fromkeys((ROW, ROWS, COPY_DATA, ERROR, NOTICE, NOTIFICATION, FUNCTION_RESULT, PARAMETERS, STATUS), _LARGE),
    **dict.fromkeys((READY, COMPLETE, EMPTY, SUSPENDED, COPY_IN, COPY_OUT, COPY_BOTH, *b"123ncRKv"), _ANSWER),
}
"""Messages of a server, and the maximum length of each."""

_STREAMED = frozenset({ROW, COPY_DATA})
"""Messages that are passed on in parts: rows, and the data of COPY."""

Message = tuple[int, bytes]
"""The kind of a message, and its bytes including the header."""


class ProtocolError(Exception):
    """The bytes are not a message of the protocol."""


class Splitter:
    """Finds the messages in a stream, and copies a complete message only once.

    Args:
        limits: the possible kinds of messages, and the maximum length of each.
    """

    __slots__ = ("_kind", "_limits", "_partial", "_rest", "_wanted")

    def __init__(self, limits: Mapping[int, int]) -> None:
        self._limits = limits
        self._partial = bytearray()
        self._wanted = 0  # the size of the message in `_partial`
        self._kind = self._rest = 0  # of a streamed message: its kind, and the missing bytes

    def feed(self, chunk: bytes) -> list[Message]:
        """Split a chunk.

        Args:
            chunk: the next bytes of the stream, cut anywhere.

        Returns:
            Its messages. Consecutive rows, or data of COPY, are joined to one, also with parts of messages.

        Raises:
            ProtocolError: the bytes are not messages.
        """
        found: list[Message] = []
        at = 0
        if self._rest:
            at = min(self._rest, len(chunk))
            self._rest -= at
            found.append((self._kind, chunk[:at]))
        elif self._partial:
            self._partial += chunk
            if len(self._partial) < self._wanted:
                return found
            chunk, self._partial = bytes(self._partial), bytearray()
        self._split(chunk, at, found)
        return found

    def _split(self, data: bytes, at: int, found: list[Message]) -> None:
        end, limits, header = len(data), self._limits, _HEADER.unpack_from
        while at + HEADER <= end:
            kind, length = header(data, at)
            if length < 4 or length > limits.get(kind, 0):
                raise ProtocolError(_wrong(kind, length, limits))
            stop = at + 1 + length
            if kind in _STREAMED:
                start = at
                while stop + HEADER <= end and data[stop] == kind:
                    at = stop
                    _, length = header(data, at)
                    if length < 4 or length > limits[kind]:
                        raise ProtocolError(_wrong(kind, length, limits))
                    stop = at + 1 + length
                found.append((kind, data[start:stop]))
                if stop > end:
                    self._kind, self._rest = kind, stop - end
                    return
            elif stop > end:
                self._keep(data, at, stop - at)
                return
            else:
                found.append((kind, data[at:stop]))
            at = stop
        if at < end:
            if data[at] not in limits:
                raise ProtocolError(_wrong(data[at], 0, limits))
            self._keep(data, at, HEADER)

    def _keep(self, data: bytes, at: int, wanted: int) -> None:
        self._partial, self._wanted = bytearray(data[at:]), wanted


def _wrong(kind: int, length: int, limits: Mapping[int, int]) -> str:
    name = repr(chr(kind)) if 32 < kind < 127 else f"0x{kind:02x}"
    if kind not in limits:
        return f"invalid message type {name}"
    return f"invalid length {length:,} of a message of type {name}"


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Build a message."""
    return kind + _LENGTH.pack(len(body) + 4) + body


def error_message(sqlstate: str, text: str, severity: str = "FATAL") -> bytes:
    """Build an ErrorResponse."""
    fields = (("S", severity), ("V", severity), ("C", sqlstate), ("M", text))
    return message(b"E", b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields) + b"\0")


def error_fields(raw: bytes) -> dict[str, str]:
    """Read the fields of an ErrorResponse or a NoticeResponse by their letters: C is the SQLSTATE, M the message."""
    parts = raw[HEADER:].split(b"\0")
    return {chr(part[0]): decoded(part[1:]) for part in parts if part}


def text_at(raw: bytes, at: int) -> tuple[bytes, int]:
    """Read a string that ends with a zero byte.

    Args:
        raw: of a message.
        at: its start.

    Returns:
        The string, and the start of the next field.

    Raises:
        ProtocolError: it has no end.
    """
    end = raw.find(b"\0", at)
    if end < 0:
        raise ProtocolError("a string in a message does not end")
    return raw[at:end], end + 1
