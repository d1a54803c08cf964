"""Parses the first packet of a client: startup, a request for encryption, or a cancel request. Pure.

See PostgreSQL docs, "Message Formats": these packets have a length, but no byte for their kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct

from pgchaos.engine.proxy.messages import ProtocolError, message

_LENGTH, _HEAD, _PID = Struct("!I"), Struct("!II"), Struct("!I")
_LONGEST = 10_000
"""The maximum size of such a packet (MAX_STARTUP_PACKET_LENGTH)."""
_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104
_TLS_HANDSHAKE = 0x16
_NEWEST = 2
"""The supported minor version of protocol 3."""


@dataclass(frozen=True, slots=True)
class Startup:
    """A startup packet."""

    minor: int  # the requested minor version of protocol 3
    parameters: Mapping[str, str] = field(repr=False)  # user, database, options and settings of the server, by name
    unknown: tuple[str, ...] = ()  # unknown options of the protocol (`_pq_.…`)

    @property
    def user(self) -> str:
        """The requested role."""
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        """The requested database; the default is the name of the role, as in the server."""
        return self.parameters.get("database") or self.user

    @property
    def options(self) -> str:
        """Command-line options for the server."""
        return self.parameters.get("options", "")

    @property
    def replication(self) -> str:
        """The requested replication: `true` (physical) or `database`; '' for none."""
        value = self.parameters.get("replication", "")
        return "" if value.lower() in _NO_REPLICATION else value

    @property
    def is_physical(self) -> bool:
        """Whether it requests physical replication, which has no database."""
        return self.replication not in ("", "database")

    @property
    def settings(self) -> dict[str, str]:
        """The other parameters: application_name, client_encoding, DateStyle …."""
        return {name: value for name, value in self.parameters.items() if name not in _NO_SETTINGS}

    def negotiation(self) -> bytes:
        """Build NegotiateProtocolVersion if the client requests unsupported features; otherwise nothing."""
        if self.minor <= _NEWEST and not self.unknown:
            return b""
        names = b"".join(name.encode() + b"\0" for name in self.unknown)
        version = 3 << 16 | min(self.minor, _NEWEST)
        return message(b"v", _HEAD.pack(version, len(self.unknown)) + names)


_NO_REPLICATION = ("", "false", "off", "no", "0")
_NO_SETTINGS = frozenset({"user", "database", "options", "replication"})


@dataclass(frozen=True, slots=True)
class Cancel:
    """A cancel request, with the key of the connection."""

    pid: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Encryption:
    """A request for TLS or GSS."""

    name: str


def packet_length(data: bytes) -> int:
    """Return the size of a client's first packet.

    Args:
        data: its first four bytes, or more.

    Raises:
        ProtocolError: it is invalid.
    """
    if data[0] == _TLS_HANDSHAKE:
        raise ProtocolError("the client begins with TLS, which is not offered here: set sslnegotiation=postgres")
    (length,) = _LENGTH.unpack_from(data)
    if not 8 <= length <= _LONGEST:
        raise ProtocolError(f"invalid length {length:,} of a startup packet")
    return int(length)


def read_packet(data: bytes) -> Startup | Cancel | Encryption:
    """Parse a packet.

    Args:
        data: the packet, including its length.

    Raises:
        ProtocolError: it is malformed, or of another version.
    """
    _, code = _HEAD.unpack_from(data)
    if code == _CANCEL:
        if not 16 <= len(data) <= 12 + 256:
            raise ProtocolError("invalid length of a cancel request")
        return Cancel(_PID.unpack_from(data, 8)[0], data[12:])
    if code in (_SSL, _GSS):
        return Encryption("TLS" if code == _SSL else "GSS")
    if code >> 16 != 3:
        raise ProtocolError(f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: server supports 3.0 to 3.2")
    return _startup(code & 0xFFFF, data[8:])


def _startup(minor: int, body: bytes) -> Startup:
    parts = body.split(b"\0")
    # pairs, an empty name, and nothing after the last zero byte
    if len(parts) < 2 or parts[-1] or parts[-2] or len(parts) % 2:
        raise ProtocolError("invalid startup packet layout: expected terminator as last byte")
    texts = [part.decode("utf-8", "surrogateescape") for part in parts[:-2]]
    pairs = dict(zip(texts[::2], texts[1::2], strict=True))
    unknown = tuple(name for name in pairs if name.startswith("_pq_."))
    return Startup(minor, {name: value for name, value in pairs.items() if name not in unknown}, unknown)
