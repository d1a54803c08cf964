"""Converts values of parameters to text, including the binary formats. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from struct import Struct, error

from pgchaos.server_text import decoded

_INT16, _INT32, _INT64, _FLOAT4, _FLOAT8 = map(Struct, ("!h", "!i", "!q", "!f", "!d"))
_NUMERIC, _ARRAY = Struct("!HhHH"), Struct("!iiI")
_EPOCH = datetime(2000, 1, 1)  # of timestamps, without a time zone
_MOST_HEX = 64
"""Bytes of a value of an unknown type that are shown."""

BOOL, BYTEA, INT8, INT2, INT4, JSONB, DATE, UUID = 16, 17, 20, 21, 23, 3802, 1082, 2950
FLOAT4, FLOAT8, TIMESTAMP, TIMESTAMPTZ, NUMERIC = 700, 701, 1114, 1184, 1700
_TEXTS = frozenset({18, 19, 25, 114, 142, 705, 1042, 1043})
_ELEMENTS: Mapping[int, int] = {1000: BOOL, 1005: INT2, 1007: INT4, 1016: INT8, 1009: 25, 1015: 1043, 2951: UUID}
_INFINITE = {0x7FFFFFFF: "infinity", -0x80000000: "-infinity"}
_INFINITE_TIME = {0x7FFFFFFFFFFFFFFF: "infinity", -0x8000000000000000: "-infinity"}


def shown(value: bytes, oid: int, encoding: str = "utf-8", *, binary: bool) -> str:
    """Write a value as text.

    Args:
        value: as it was sent.
        oid: of its type; 0: unknown.
        encoding: of the client, by its Python name.
        binary: it was sent in the binary format.
    """
    if not binary or oid in _TEXTS:
        return value.decode(encoding, "surrogateescape")
    try:
        if oid in _ELEMENTS:
            return _array(value, _ELEMENTS[oid], encoding)
        return _READ.get(oid, _hex)(value)
    except (error, ValueError, OverflowError, IndexError):
        return _hex(value)


def _hex(value: bytes) -> str:
    return "\\x" + value[:_MOST_HEX].hex() + ("…" if len(value) > _MOST_HEX else "")


def _of(form: Struct) -> Callable[[bytes], str]:
    return lambda value: format(form.unpack(value)[0])


def _date(value: bytes) -> str:
    (days,) = _INT32.unpack(value)
    return _INFINITE.get(days) or str(date(2000, 1, 1) + timedelta(days=days))


def _timestamp(value: bytes) -> str:
    (microseconds,) = _INT64.unpack(value)
    return _INFINITE_TIME.get(microseconds) or str(_EPOCH + timedelta(microseconds=microseconds))


def _timestamptz(value: bytes) -> str:
    (microseconds,) = _INT64.unpack(value)
    moment = _EPOCH.replace(tzinfo=timezone.utc)
    return _INFINITE_TIME.get(microseconds) or str(moment + timedelta(microseconds=microseconds))


def _numeric(value: bytes) -> str:
    """Parse the format of numeric_send: digits of base 10000, the weight of the first, sign, and scale."""
    number, weight, sign, scale = _NUMERIC.unpack_from(value)
    if sign not in (0, 0x4000):
        return {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}.get(sign) or _hex(value)
    if weight * 4 > 1000 or scale > 1000:
        return _hex(value)
    digits = [_INT16.unpack_from(value, 8 + 2 * one)[0] for one in range(number)]
    total = sum((Decimal(digit).scaleb(4 * (weight - one)) for one, digit in enumerate(digits)), Decimal())
    return f"{-total if sign else total:.{scale}f}"


def _array(value: bytes, element: int, encoding: str) -> str:
    dimensions, _, _ = _ARRAY.unpack_from(value)
    if dimensions == 0:
        return "{}"
    if dimensions != 1:
        return _hex(value)
    (count,) = _INT32.unpack_from(value, _ARRAY.size)
    at, parts = _ARRAY.size + 8, []
    for _ in range(count):
        (length,) = _INT32.unpack_from(value, at)
        at += 4
        parts.append("NULL" if length < 0 else shown(value[at : at + length], element, encoding, binary=True))
        at += max(0, length)
    return "{" + ",".join(parts) + "}"


_READ: Mapping[int, Callable[[bytes], str]] = {
    BOOL: lambda value: "true" if value[0] else "false",
    INT2: _of(_INT16),
    INT4: _of(_INT32),
    INT8: _of(_INT64),
    FLOAT4: _of(_FLOAT4),
    FLOAT8: _of(_FLOAT8),
    NUMERIC: _numeric,
    DATE: _date,
    TIMESTAMP: _timestamp,
    TIMESTAMPTZ: _timestamptz,
    UUID: lambda value: str(uuid.UUID(bytes=value)),
    JSONB: lambda value: decoded(value[1:]),
    BYTEA: _hex,
}
