"""Authenticates a client: the startup packet, and its password by SCRAM-SHA-256."""

from __future__ import annotations

import select
import time
from socket import socket as Socket  # bound here: pytest-socket may replace socket.socket
from struct import Struct

from pgchaos.engine.proxy.messages import HEADER, PASSWORD, ProtocolError, error_message, message
from pgchaos.engine.proxy.scram import MECHANISM, Exchange, Refused, Secret
from pgchaos.engine.proxy.startup import Cancel, Encryption, Startup, packet_length, read_packet
from pgchaos.engine.waits import READY, Wait
from pgchaos.stop import Stop

_LIMIT = 60.0
"""Seconds for the handshake, as the server's authentication_timeout."""
_CHUNK = 65536
_INT32 = Struct("!i")
_SASL, _SASL_CONTINUE, _SASL_FINAL = (_INT32.pack(code) for code in (10, 11, 12))
AUTHENTICATED = message(b"R", _INT32.pack(0))
"""AuthenticationOk."""


class Gone(Exception):
    """The client has closed the connection or was too slow, the network refuses it, or the proxy stops."""


class Denied(Exception):
    """The client is refused.

    Args:
        sqlstate: for the client.
        text: for the client.
    """

    def __init__(self, sqlstate: str, text: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate

    def message(self) -> bytes:
        """Build the ErrorResponse."""
        return error_message(self.sqlstate, str(self))


class Handshake:
    """The handshake of one connection.

    Args:
        client: its socket, non-blocking.
        secret: of the required password.
        stop: ends every wait.
    """

    def __init__(self, client: Socket, secret: Secret, stop: Stop) -> None:
        self._client, self._secret, self._stop = client, secret, stop
        self._until = time.monotonic() + _LIMIT
        self.rest = b""
        """Data of the client that is not parsed yet."""

    async def begin(self) -> Startup | Cancel:
        """Read the first packet; decline encryption.

        Raises:
            Gone: see there.
            ProtocolError: it is invalid.
        """
        declined: set[str] = set()
        while True:
            length = packet_length(await self._read(4))
            packet = read_packet(await self._read(length))
            self.rest = self.rest[length:]
            if not isinstance(packet, Encryption):
                return packet
            if packet.name in declined:
                raise ProtocolError(f"the client asks for {packet.name} a second time")
            declined.add(packet.name)
            await self.send(b"N")

    async def authenticate(self) -> None:
        """Let the client prove that it has the password.

        Raises:
            Denied: it does not.
            Gone: see there.
            ProtocolError: its messages are invalid.
        """
        exchange = Exchange(self._secret)
        try:
            await self._ask(_SASL + MECHANISM.encode() + b"\0\0")
            body = await self._password()
            mechanism, _, rest = body.partition(b"\0")
            if mechanism != MECHANISM.encode() or len(rest) < 4:
                raise Refused("client selected an invalid SASL authentication mechanism")
            await self._ask(_SASL_CONTINUE + exchange.first(rest[4:]))
            await self._ask(_SASL_FINAL + exchange.final(await self._password()))
        except Refused as why:
            raise Denied("28P01", str(why)) from None

    async def _ask(self, body: bytes) -> None:
        await self.send(message(b"R", body))

    async def _password(self) -> bytes:
        head = await self._read(HEADER)
        length = int.from_bytes(head[1:HEADER], "big")
        if head[0] != PASSWORD or not 4 <= length <= _CHUNK:
            raise ProtocolError(f"expected SASL response, got message type {head[0]}")
        whole = await self._read(1 + length)
        self.rest = self.rest[1 + length :]
        return whole[HEADER:]

    async def _read(self, size: int) -> bytes:
        """Return the next bytes, which stay in `rest`."""
        while len(self.rest) < size:
            await self._wait(select.POLLIN)
            try:
                chunk = self._client.recv(_CHUNK)
            except BlockingIOError:  # poll may report data that is not there: wait again
                continue
            except OSError:
                raise Gone from None
            if not chunk:
                raise Gone
            self.rest += chunk
        return self.rest[:size]

    async def send(self, data: bytes) -> None:
        """Send data.

        Raises:
            Gone: see there.
        """
        while data:
            try:
                data = data[self._client.send(data) :]
            except BlockingIOError:  # noqa: PERF203  # a wait follows
                await self._wait(select.POLLOUT)
            except OSError:
                raise Gone from None

    async def _wait(self, events: int) -> None:
        if await Wait(self._client.fileno(), events, self._until, self._stop) is not READY:
            raise Gone
