"""One client and its connection to the server: two tasks pass data on, one for each direction."""

from __future__ import annotations

import secrets
import select
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from socket import SHUT_RDWR
from socket import socket as Socket  # bound here: pytest-socket may replace socket.socket
from typing import Any

from pgchaos.engine.answer import LOST
from pgchaos.engine.loop import begin
from pgchaos.engine.proxy.link import Link
from pgchaos.engine.proxy.messages import BACKEND, FRONTEND, ProtocolError, Splitter, error_message, message
from pgchaos.engine.proxy.observer import ClientConnection, Observer
from pgchaos.engine.proxy.requests import Request, RequestAssembler, Unit
from pgchaos.engine.proxy.startup import Startup
from pgchaos.engine.proxy.tracker import Ended, Outcome, RequestTracker
from pgchaos.engine.proxy.upstream import ServerConnection
from pgchaos.engine.waits import STOPPED, Wait, WakeReason, has_ended, sleep
from pgchaos.stop import Stop

_CHUNK = 65536
_CLIENT_ENDED = "the client ended it"
_KEY, _LONG_KEY = 4, 32
"""Bytes of the key for cancel requests, in 3.0 and 3.2."""
_FLUSH, _TERMINATE = message(b"H"), message(b"X")
_HUNG_UP = select.POLLRDHUP if hasattr(select, "POLLRDHUP") else select.POLLHUP


class ProxyConnection(ClientConnection):
    """A connection that passes through the proxy.

    Args:
        number: of the proxy, from 1.
        link: to the client, by a non-blocking socket.
        server: connected and idle; this takes over its socket.
        startup: of the client.
        observer: of the proxy.
        broken: called with a description of a violation of the protocol.
        first: data that the client has sent already.
    """

    def __init__(
        self,
        number: int,
        link: Link,
        server: ServerConnection,
        startup: Startup,
        observer: Observer | None,
        broken: Callable[[str], None],
        first: bytes = b"",
    ) -> None:
        super().__init__(number, server.pid, startup)
        self.key = secrets.token_bytes(_LONG_KEY if startup.minor >= 2 else _KEY)
        """The key of the client's cancel requests."""
        self.assembler = RequestAssembler()
        self.tracker = RequestTracker(self.assembler)
        self.tracker.keeps_rows = observer is not None and observer.keeps_rows
        self.server = server
        self.link, self.client = link, link.client
        self._observer, self._broken, self._first = observer, broken, first
        self._socket = Socket(fileno=server.take_socket())
        self._from_client, self._from_server = Splitter(FRONTEND), Splitter(BACKEND)
        self._units: deque[Unit] = deque()
        self._unsent: dict[Socket, memoryview] = {}
        self._writers: dict[Socket, Socket] = {}
        self._held: Wait | None = None
        self._to_be_cancelled = False
        self._kept: list[bytes] = []
        self._unreported: list[Ended] = []
        self.was_answered = True
        """The server had answered all requests when it ended."""

    def tasks(self, stop: Stop) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        """Return the coroutines of both directions; they end with the connection, or when the stop is set."""
        return self._serve_client(stop), self._serve_server(stop)

    @property
    def status(self) -> str:
        """See `ClientConnection`."""
        return self.tracker.status

    @property
    def is_cut_off(self) -> bool:
        """See `ClientConnection`."""
        return bool(self.ended) or has_ended(self._socket.fileno())

    @property
    def outstanding(self) -> list[Request]:
        """See `ClientConnection`."""
        return self.tracker.outstanding

    @property
    def is_idle(self) -> bool:
        """Whether the server has answered all requests of the client."""
        return self.tracker.is_idle and not self._units

    # from the client to the server

    async def _serve_client(self, stop: Stop) -> None:
        wait = Wait(self.client.fileno(), select.POLLIN, None, stop)
        chunk, self._first = self._first, b""
        while not self.ended:
            if chunk:
                if not self.link.is_sound:
                    await self.link.delay(len(chunk), stop, is_terminate=chunk == _TERMINATE)
                self._take(chunk)
            if (self._units or self._unsent) and not await self._send_units(stop):
                return
            if self.ended or await wait is STOPPED:
                return
            try:
                chunk = self.client.recv(_CHUNK)
            except BlockingIOError:
                chunk = b""
            except OSError:
                self.end("the client's connection was reset")
            else:
                if not chunk:
                    await self._client_ended(stop)

    async def _client_ended(self, stop: Stop) -> None:
        """Send the buffered messages: without a proxy the server would have received them."""
        buffered = b"".join([unit.data for unit in self.assembler.flush()])
        if not buffered or await self._send(self._socket, buffered, stop):
            self.end(_CLIENT_ENDED)

    def _take(self, chunk: bytes) -> None:
        add = self.assembler.add
        try:
            self._units += (unit for kind, raw in self._from_client.feed(chunk) for unit in add(kind, raw))
        except ProtocolError as error:
            self._break(f"the client broke the protocol: {error}", str(error))

    async def _send_units(self, stop: Stop) -> bool:
        """Send the units of the client; return whether the connection goes on."""
        if self._unsent and not await self._send(self._socket, b"", stop):
            return False
        while self._units:
            unit = self._units[0]
            if unit.request is not None and self._observer is not None:
                await _Held(self, self._observer, unit.request)
                await self.link.await_stall(stop)
                if self.ended or stop.is_set():
                    return False
            self._units.popleft()
            for request, outcome in self.tracker.sent(unit):
                if self._observer is not None:
                    self._observer.after_request(self, request, outcome)
            data = unit.data
            if unit.request is not None and unit.request.pipelined and self._observer is not None:
                # otherwise the answer would not come before the next request
                data += _FLUSH
            if not await self._send(self._socket, data, stop):
                return False
            if self._to_be_cancelled and unit.request is not None:
                await self._cancel(lambda: bool(self.ended) or stop.is_set() or self.tracker.is_idle)
        return True

    async def cancel(self) -> None:
        """Cancel the client's current request: now, or after it is sent if it is held."""
        if self.tracker.is_idle and any(unit.request is not None for unit in self._units):
            self._to_be_cancelled = True
        else:
            await self._cancel(lambda: True)

    async def _cancel(self, is_over: Callable[[], bool]) -> None:
        self._to_be_cancelled = False
        if self._observer is not None:
            self._observer.cancelled(self)
        await self.server.cancel_until(is_over, lambda: self.assembler.copying)

    # from the server to the client

    async def _serve_server(self, stop: Stop) -> None:
        wait = Wait(self._socket.fileno(), select.POLLIN, None, stop)
        if self._unsent and not await self._send(self.client, b"", stop):
            return
        while not self.ended and await wait is not STOPPED:
            try:
                chunk = self._socket.recv(_CHUNK)
            except BlockingIOError:  # poll may report data that is not there: wait again
                continue
            except OSError:
                chunk = b""
            if not chunk:
                self.end(_CLIENT_ENDED if self.assembler.terminated else "the server ended it")
                return
            try:
                ended = self.tracker.received(self._from_server.feed(chunk))
            except ProtocolError as error:
                self._break(f"the server broke the protocol: {error}", "the server broke the protocol")
                return
            self._unreported = ended
            passed = self._send(self.client, chunk, stop) if self.link.is_sound else self._send_disturbed(chunk, stop)
            if await passed and self._observer is not None:
                self._report(self._observer)

    async def _send_disturbed(self, chunk: bytes, stop: Stop) -> bool:
        """Send data to the client through a faulty network."""
        link = self.link
        self._kept.append(chunk)
        if link.holds and self.tracker.is_idle:
            await link.hold_answer(stop)
        elif link.holds and not self.assembler.copying:
            return True  # the client of a COPY needs the first part of the answer to send its data
        data, self._kept = b"".join(self._kept), []
        if self.ended:
            return False
        await link.delay(0, stop)
        for part, seconds in link.parts(data):
            if seconds:
                await sleep(seconds, stop)
            if self.ended or not await self._send(self.client, part, stop):
                return False
        return True

    def _report(self, observer: Observer) -> None:
        tracker, ended = self.tracker, self._unreported
        self._unreported = []
        if tracker.notices:
            notices, tracker.notices = tracker.notices, []
            for fields in notices:
                observer.noticed(self, fields)
        if tracker.notifications:
            notifications, tracker.notifications = tracker.notifications, []
            for channel, payload in notifications:
                observer.notified(self, channel, payload)
        for request, outcome in ended:
            observer.after_request(self, request, outcome)

    # both

    async def _send(self, to: Socket, data: bytes, stop: Stop) -> bool:
        """Send to one side; return whether all was sent."""
        if not self._unsent:
            try:
                sent = to.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.end("the client's connection was lost" if to is self.client else "the server ended it")
                return False
            if sent == len(data):
                return True
            data = data[sent:]
        return await self._send_slowly(to, data, stop)

    async def _send_slowly(self, to: Socket, data: bytes, stop: Stop) -> bool:
        """Send when the socket accepts data; the rest at a stop is sent later."""
        left = memoryview(bytes(self._unsent.pop(to, b"")) + data)
        if to not in self._writers:
            # a duplicate: the loop has one task for each descriptor, and the other direction reads from this one
            self._writers[to] = to.dup()
        wait = Wait(self._writers[to].fileno(), select.POLLOUT, None, stop)
        while left and not self.ended:
            if await wait is STOPPED:
                self._unsent[to] = left
                return False
            try:
                left = left[to.send(left) :]
            except BlockingIOError:  # poll may report room that is not there: wait again
                continue
            except OSError:
                self.end("the connection was lost")
        return not self.ended

    def _break(self, text: str, reply: str) -> None:
        """End the connection because of a violation of the protocol."""
        self._broken(f"connection {self.number}: {text}")
        with suppress(OSError):  # the client has gone
            self.client.send(error_message("08P01", reply))
        self.end(text)

    def end(self, why: str) -> None:
        """See `ClientConnection`."""
        if self.ended:
            return
        self.ended, self.was_answered = why, self.tracker.is_idle
        self.link.leave()
        for side in (self.client, self._socket):
            with suppress(OSError):  # the peer has closed it
                side.shutdown(SHUT_RDWR)
        if (observer := self._observer) is not None:
            for request, _ in self._unreported:
                # the server has answered, and the client has not received it
                observer.after_request(self, request, Outcome(LOST, "the connection was lost", lost=True))
            for request, outcome in self.tracker.lost():
                observer.after_request(self, request, outcome)
            observer.closed(self, why)
        if self._held is not None:
            self._held.wake()

    def reset(self, why: str) -> None:
        """End it by RST to the client."""
        mine = [self._writers[self.client]] if self.client in self._writers else []
        self.link.reset([self.client.fileno(), *(one.fileno() for one in mine)])
        self.end(why)

    def close(self) -> None:
        """Close the descriptors, after both tasks have ended."""
        for side in (*self._writers.values(), self.client):
            side.close()
        self._socket.detach()  # the descriptor belongs to libpq

    # while a request is held

    async def watch(self, stop: Stop | None = None) -> None:
        """Notice that the client ends the connection while its request is held."""
        self._held = Wait(self.client.fileno(), _HUNG_UP, None, stop)
        await self._held
        if self._held is not None:
            self._held = None
            self.end(_CLIENT_ENDED)

    def stop_watching(self) -> None:
        """Stop `watch`, so that the client's descriptor is read again."""
        wait, self._held = self._held, None
        if wait is not None:
            wait.wake()


class _Held:
    """Awaits `before_request`, and watches the client if that waits."""

    def __init__(self, connection: ProxyConnection, observer: Observer, request: Request) -> None:
        self._connection = connection
        self._work = observer.before_request(connection, request)

    def __await__(self) -> Generator[Wait, WakeReason, None]:
        work = self._work
        try:
            wait = work.send(None)
        except StopIteration:
            return
        begin(self._connection.watch())
        try:
            while True:
                wait = work.send((yield wait))
        except StopIteration:  # the work has ended
            pass
        finally:
            self._connection.stop_watching()
