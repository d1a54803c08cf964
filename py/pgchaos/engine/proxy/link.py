"""The network between a client and the proxy, with its faults: stalls, latency, a low rate, held answers.

A stall without an end simulates a machine that has vanished: the client's packets are not even acknowledged, so its
timeouts decide (tcp_user_timeout, keepalives). For this the proxy's socket requires the highest TTL, which no packet
has (IP_MINTTL, ip(7), RFC 5082), and drops all. Unlike a packet filter this needs no privilege.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from socket import AF_INET, IP_TTL, IPPROTO_IP, SO_LINGER, SOL_SOCKET
from socket import socket as Socket  # bound here: pytest-socket may replace socket.socket

from pgchaos.engine.waits import Condition, Wait
from pgchaos.posix.tcp_table import unacknowledged
from pgchaos.stop import Stop

_MIN_TTL = 21
"""IP_MINTTL of Linux, which the module socket does not define."""
_HIGHEST_TTL = 255
_TERMINATE_SIZE = 6
"""Bytes of a Terminate message, and one that TCP counts for FIN."""
_SLICE = 0.02
"""Seconds for one part at a limited rate."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Latency and rate of a network."""

    latency: float = 0.0  # additional seconds of a round trip
    jitter: float = 0.0  # the greatest deviation from it, in seconds
    rate: float | None = None  # bytes per second in each direction; None: unlimited


class NotHalfOpen(Exception):
    """The client's packets cannot be dropped here; the message has the reason."""


class Link:
    """The network of one connection.

    Args:
        client: the socket.
        random: for jitter.
    """

    def __init__(self, client: Socket, random: Random) -> None:
        self.client, self._random = client, random
        self._changed = Condition()
        self._to_stall, self._stalled_until = 0.0, 0.0
        self._drops = self._had_effect = False
        self._quality = Quality()
        self._holds = self.answered = False
        self.is_sound = True
        """There is no fault: data is passed on at once."""

    @property
    def is_stalled(self) -> bool:
        """Whether no data passes now."""
        return self._to_stall > 0 or time.monotonic() < self._stalled_until

    @property
    def had_effect(self) -> bool:
        """Whether the current fault has had an effect: data was delayed, held, or dropped."""
        return self._had_effect or (self._drops and self._was_dropped())

    @property
    def is_half_open(self) -> bool:
        """Whether the client's packets are dropped."""
        return self._drops

    def stall(self, seconds: float | None) -> None:
        """Let no data pass.

        Args:
            seconds: from the first data that it stalls; None: until `heal`.

        Raises:
            NotHalfOpen: packets would still be acknowledged; nothing has changed.
        """
        if seconds is None and self.client.family == AF_INET:
            self._drop_all()
        # a shorter stall does not end a longer one
        self._to_stall = max(self._to_stall, math.inf if seconds is None else seconds)
        self._had_effect = False
        self._on_change()

    def _drop_all(self) -> None:
        if sys.platform != "linux":
            raise NotHalfOpen("only Linux can leave the packets of a client unacknowledged: give the stall a time")
        if self.client.getsockopt(IPPROTO_IP, IP_TTL) >= _HIGHEST_TTL:
            raise NotHalfOpen(
                "its packets would be acknowledged, as they have the highest TTL: set net.ipv4.ip_default_ttl to 64"
            )
        try:
            self.client.setsockopt(IPPROTO_IP, _MIN_TTL, _HIGHEST_TTL)
        except OSError as error:
            raise NotHalfOpen(f"the system does not drop its packets (IP_MINTTL): {error}") from None
        self._drops = True

    def set_quality(self, quality: Quality) -> None:
        """Set the quality from now on."""
        self._quality, self._had_effect = quality, False
        self._on_change()

    def heal(self) -> None:
        """Pass data on again, stalled data too; a held answer stays held."""
        self._to_stall = self._stalled_until = 0.0
        self._stop_dropping()
        self._quality, self._had_effect = Quality(), False
        self._on_change()

    def _stop_dropping(self) -> None:
        if self._drops:
            self._had_effect = self.had_effect
            self.client.setsockopt(IPPROTO_IP, _MIN_TTL, 0)
            self._drops = False

    def _was_dropped(self) -> bool:
        """Whether data of the client beyond a Terminate was dropped, or the client has closed the connection."""
        try:
            waiting = unacknowledged(self.client.getpeername()[1], self.client.getsockname()[1])
        except OSError:
            return True
        return waiting is None or waiting > _TERMINATE_SIZE

    def hold(self) -> None:
        """Hold the answers of the server, until `release`."""
        self._holds, self.answered = True, False
        self._on_change()

    def release(self) -> None:
        """Pass the held answers on."""
        self._holds = False
        self._on_change()

    def _on_change(self) -> None:
        self._update()
        self._changed.notify()

    def _update(self) -> None:
        self.is_sound = not self._holds and not self.is_stalled and self._quality == Quality()

    # data

    async def wait_for_change(self, seconds: float, stop: Stop) -> None:
        """Wait for a change, at most some seconds."""
        await self._changed.wait(time.monotonic() + seconds, stop)

    async def delay(self, size: int, stop: Stop, *, is_terminate: bool = False) -> None:
        """Wait until received data may pass.

        Args:
            size: its bytes; 0 if `parts` delays them.
            stop: ends the wait.
            is_terminate: the client has ended the connection, and waits for nothing.
        """
        quality = self._quality
        if quality != Quality() and not is_terminate:
            self._had_effect = True
        way = (quality.latency + self._random.uniform(-quality.jitter, quality.jitter)) / 2
        seconds = max(0.0, way) + (size / quality.rate if quality.rate else 0.0)
        if seconds:
            await Wait(until=time.monotonic() + seconds, stop=stop)
        await self.await_stall(stop, is_terminate=is_terminate)
        if not stop.is_set():
            self._update()

    async def await_stall(self, stop: Stop, *, is_terminate: bool = False) -> None:
        """Wait until the stall ends; see `delay`."""
        while self.is_stalled and not stop.is_set():
            self._had_effect = self._had_effect or not is_terminate
            if self._to_stall:
                self._stalled_until = max(self._stalled_until, time.monotonic() + self._to_stall)
                self._to_stall = 0.0
            until = None if self._stalled_until == math.inf else self._stalled_until
            await self._changed.wait(until, stop)

    def parts(self, data: bytes) -> Iterator[tuple[bytes, float]]:
        """Split data for a limited rate: each part, and the seconds to wait before it."""
        rate = self._quality.rate
        if rate is None:
            yield data, 0.0
            return
        size = max(1, int(rate * _SLICE))
        for start in range(0, len(data), size):
            part = data[start : start + size]
            yield part, len(part) / rate

    @property
    def holds(self) -> bool:
        """Whether the server's answers are held."""
        return self._holds

    async def hold_answer(self, stop: Stop) -> None:
        """Hold a complete answer until it is released."""
        self.answered = True
        self._changed.notify()
        while self._holds and not stop.is_set():
            await self._changed.wait(stop=stop)

    # the end

    def reset(self, descriptors: list[int]) -> None:
        """End the connection by RST.

        Args:
            descriptors: all of the client's socket. They stay open for the loop, redirected to /dev/null.
        """
        self._stop_dropping()
        self.client.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        null = os.open(os.devnull, os.O_RDWR)
        try:
            for descriptor in descriptors:
                os.dup2(null, descriptor, inheritable=False)
        finally:
            os.close(null)

    def leave(self) -> None:
        """Stop dropping packets before the socket is closed, and wake tasks that wait for a change."""
        self._stop_dropping()
        self._changed.notify()
