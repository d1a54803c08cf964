"""The network between a client and the proxy, and what is wrong with it: stalls, latency, a low rate, held answers.

A stall without end is that of a machine that has vanished: the client's packets are not even acknowledged, so that its
own time-outs (tcp_user_timeout, keepalives) decide. The proxy's socket drops packets that may not have come from so
near (IP_MINTTL, ip(7), RFC 5082): none has the highest TTL. That takes no privilege, as a packet filter does in places.
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
from socket import socket as Socket  # by itself: pytest-socket may put another class in its place

from pgchaos.engine.waits import News, Wait
from pgchaos.posix.tcp_table import unacknowledged
from pgchaos.stop import Stop

_MIN_TTL = 21
"""IP_MINTTL of Linux, which the module socket does not name."""
_HIGHEST_TTL = 255
_FAREWELL = 6
"""Bytes of a Terminate message, and one that TCP counts for FIN."""
_SLICE = 0.02
"""Seconds that one part takes at a limited rate."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a network passes things on.

    Args:
        latency: seconds that a round trip takes longer.
        jitter: seconds by which that differs at most.
        rate: bytes a second in each direction, or None.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rate: float | None = None


class NotHalfOpen(Exception):
    """The client's packets cannot be dropped here: the message says why."""


class Link:
    """The network of one connection.

    Args:
        client: the socket.
        random: for jitter.
    """

    def __init__(self, client: Socket, random: Random) -> None:
        self._client, self._random = client, random
        self._news = News()
        self._to_stall, self._stalled_until = 0.0, 0.0
        self._drops = self._was_felt = False
        self._quality = Quality()
        self._holds = self.answered = False
        self.is_sound = True
        """Nothing is wrong: all is passed on at once."""

    @property
    def is_stalled(self) -> bool:
        """Whether nothing passes now."""
        return self._to_stall > 0 or time.monotonic() < self._stalled_until

    @property
    def was_felt(self) -> bool:
        """Whether something has met what is wrong since that was set: late, held up, or sent in vain."""
        return self._was_felt or (self._drops and self._has_sent_in_vain())

    @property
    def is_half_open(self) -> bool:
        """Whether the client's packets are dropped."""
        return self._drops

    def stall(self, seconds: float | None) -> None:
        """Let nothing pass.

        Args:
            seconds: for how long, counted from what it holds up first, so that it does; None: until `heal`.

        Raises:
            NotHalfOpen: packets would be acknowledged all the time; nothing has changed.
        """
        if seconds is None and self._client.family == AF_INET:
            self._drop_all()
        # a short one does not end the one that it meets
        self._to_stall = max(self._to_stall, math.inf if seconds is None else seconds)
        self._was_felt = False
        self._changed()

    def _drop_all(self) -> None:
        if sys.platform != "linux":
            raise NotHalfOpen("only Linux can leave the packets of a client unacknowledged: give the stall a time")
        if self._client.getsockopt(IPPROTO_IP, IP_TTL) >= _HIGHEST_TTL:
            raise NotHalfOpen(
                "its packets would be acknowledged, as they have the highest TTL: set net.ipv4.ip_default_ttl to 64"
            )
        try:
            self._client.setsockopt(IPPROTO_IP, _MIN_TTL, _HIGHEST_TTL)
        except OSError as error:
            raise NotHalfOpen(f"the system does not drop its packets (IP_MINTTL): {error}") from None
        self._drops = True

    def set_quality(self, quality: Quality) -> None:
        """Pass things on so from now on."""
        self._quality, self._was_felt = quality, False
        self._changed()

    def heal(self) -> None:
        """Pass everything on again, what was stalled too; an answer that is held stays so."""
        self._to_stall = self._stalled_until = 0.0
        self._drop_no_more()
        self._quality, self._was_felt = Quality(), False
        self._changed()

    def _drop_no_more(self) -> None:
        if self._drops:
            self._was_felt = self.was_felt
            self._client.setsockopt(IPPROTO_IP, _MIN_TTL, 0)
            self._drops = False

    def _has_sent_in_vain(self) -> bool:
        """Whether the client has sent more than its farewell that was dropped, or has given the connection up."""
        try:
            waiting = unacknowledged(self._client.getpeername()[1], self._client.getsockname()[1])
        except OSError:
            return True
        return waiting is None or waiting > _FAREWELL

    def hold(self) -> None:
        """Keep the answers of the server back, until `release`."""
        self._holds, self.answered = True, False
        self._changed()

    def release(self) -> None:
        """Let the answers go that were kept back."""
        self._holds = False
        self._changed()

    def _changed(self) -> None:
        self._look()
        self._news.notify()

    def _look(self) -> None:
        self.is_sound = not self._holds and not self.is_stalled and self._quality == Quality()

    # what passes

    async def await_news(self, seconds: float, stop: Stop) -> None:
        """Wait until something changes, or for some time."""
        await self._news.wait(time.monotonic() + seconds, stop)

    async def delay(self, size: int, stop: Stop, *, farewell: bool = False) -> None:
        """Wait until something that has come in may pass on.

        Args:
            size: its bytes; 0 where they are counted by `parts`.
            stop: ends the wait.
            farewell: the client has ended the connection, and waits for nothing.
        """
        quality = self._quality
        if quality != Quality() and not farewell:
            self._was_felt = True
        way = (quality.latency + self._random.uniform(-quality.jitter, quality.jitter)) / 2
        seconds = max(0.0, way) + (size / quality.rate if quality.rate else 0.0)
        if seconds:
            await Wait(until=time.monotonic() + seconds, stop=stop)
        await self.await_stall(stop, farewell=farewell)
        if not stop.is_set():
            self._look()

    async def await_stall(self, stop: Stop, *, farewell: bool = False) -> None:
        """Wait until nothing is stalled any more; see `delay`."""
        while self.is_stalled and not stop.is_set():
            self._was_felt = self._was_felt or not farewell
            if self._to_stall:
                self._stalled_until = max(self._stalled_until, time.monotonic() + self._to_stall)
                self._to_stall = 0.0
            until = None if self._stalled_until == math.inf else self._stalled_until
            await self._news.wait(until, stop)

    def parts(self, data: bytes) -> Iterator[tuple[bytes, float]]:
        """Cut what is to be passed on at a limited rate: each part, and the seconds that it takes."""
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
        """Whether the server's answers are kept back."""
        return self._holds

    async def hold_answer(self, stop: Stop) -> None:
        """Wait until an answer that has come in as a whole is released."""
        self.answered = True
        self._news.notify()
        while self._holds and not stop.is_set():
            await self._news.wait(stop=stop)

    # its end

    def reset(self, descriptors: list[int]) -> None:
        """Break the connection off by RST.

        Args:
            descriptors: all that there are of the client's socket. They stay open, and lead nowhere: the loop still
                waits for them.
        """
        self._drop_no_more()
        self._client.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            for descriptor in descriptors:
                os.dup2(nowhere, descriptor, inheritable=False)
        finally:
            os.close(nowhere)

    def leave(self) -> None:
        """Drop no packets more, before the socket is closed, and have those look again who wait for a change."""
        self._drop_no_more()
        self._news.notify()
