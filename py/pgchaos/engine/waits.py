"""What tasks wait for: a socket, a time, a stop, news of each other, and their turn."""

from __future__ import annotations

import select
import time
from collections.abc import Generator
from enum import Enum
from types import TracebackType
from typing import Protocol

from pgchaos.stop import Stop


class Why(Enum):
    """Why a task goes on."""

    READY = "ready"
    """What it waited for has come."""
    LATE = "late"
    """The time was over."""
    STOPPED = "stopped"
    """The stop was set that it heeds."""


READY, LATE, STOPPED = Why.READY, Why.LATE, Why.STOPPED

_AT_ONCE = 0.00005
"""Seconds that a look for an answer lasts before the thread sleeps."""
AT_WORK: set[object] = set()
"""Who waits for answers: loops of this process, coroutines that `alone` runs, and a child that makes runs beside it."""


class Waiting(Protocol):
    """A task that waits."""

    wait: Wait | None

    def wake(self, why: Why) -> None:
        """Have it go on."""


class Wait:
    """What a task waits for: a descriptor, or that somebody wakes it; a limit of time, and a stop.

    Args:
        fd: to be polled, or -1.
        events: of select.poll.
        until: on `time.monotonic()`, or None.
        stop: that ends the wait, or None.
    """

    __slots__ = ("_poll", "events", "fd", "stop", "task", "until")

    def __init__(self, fd: int = -1, events: int = 0, until: float | None = None, stop: Stop | None = None) -> None:
        self.fd, self.events, self.until, self.stop = fd, events, until, stop
        self.task: Waiting | None = None
        self._poll: tuple[Stop | None, int, select.poll] | None = None

    def __await__(self) -> Generator[Wait, Why, Why]:
        """Wait, and tell why that is over."""
        return (yield self)

    def wake(self) -> None:
        """Have the task go on that waits so."""
        if self.task is not None and self.task.wait is self:
            self.task.wake(READY)

    def block(self) -> Why:
        """Wait without a loop."""
        if self.stop is not None and self.stop.is_set():
            return STOPPED
        if self._poll is None or self._poll[0] is not self.stop or self._poll[1] != self.events:
            self._poll = self.stop, self.events, self._polled()
        seconds = None if self.until is None else max(0.0, self.until - time.monotonic())
        poll = self._poll[2]
        ready = ready_at_once(poll) or poll.poll(None if seconds is None else seconds * 1000)
        if not ready:
            return LATE
        return READY if any(fd == self.fd for fd, _ in ready) else STOPPED

    def _polled(self) -> select.poll:
        poll = select.poll()
        if self.fd >= 0:
            poll.register(self.fd, self.events)
        if self.stop is not None:
            poll.register(self.stop.fileno(), select.POLLIN)
        return poll


def ready_at_once(poll: select.poll) -> list[tuple[int, int]]:
    """Look for what comes within some microseconds, without sleeping.

    A local server answers a short statement within 20 to 50 µs. On a processor that rests it takes as long again until
    a thread that sleeps in poll runs on. Where several are at work, the processors are left to them and to the server.

    Args:
        poll: in which the descriptors are registered.

    Returns:
        Those that are ready, with their events; none where nothing came.
    """
    if len(AT_WORK) > 1:
        return []
    end = time.perf_counter() + _AT_ONCE
    while not (ready := poll.poll(0)) and time.perf_counter() < end:
        pass
    return ready


async def sleep(seconds: float, stop: Stop | None = None) -> bool:
    """Wait for some time.

    Args:
        seconds: to wait.
        stop: that ends it.

    Returns:
        True where that was set.
    """
    return await Wait(until=time.monotonic() + seconds, stop=stop) is STOPPED


def has_ended(descriptor: int) -> bool:
    """Say whether the other end of a connection has closed it, or broken it off."""
    ends = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", select.POLLHUP)
    poll = select.poll()
    poll.register(descriptor, ends)
    return bool(poll.poll(0))


class News:
    """Wakes all who wait for a change."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Wait] = []

    async def wait(self, until: float | None = None, stop: Stop | None = None) -> Why:
        """Wait for the next change.

        Args:
            until: on `time.monotonic()`, or None.
            stop: that ends the wait.
        """
        wait = Wait(until=until, stop=stop)
        self._waiting.append(wait)
        why = await wait
        if wait in self._waiting:
            self._waiting.remove(wait)
        return why

    def notify(self) -> None:
        """Say that something has changed."""
        waiting, self._waiting = self._waiting, []
        for wait in waiting:
            wait.wake()


class Mutex:
    """Lets one task at a time go on."""

    def __init__(self) -> None:
        self.held = False
        self._free = News()

    async def acquire(self, stop: Stop | None = None) -> bool:
        """Wait until nobody else is in it.

        Args:
            stop: that ends the wait.

        Returns:
            False where that was set.
        """
        while self.held:
            if await self._free.wait(stop=stop) is STOPPED and self.held:
                return False
        self.held = True
        return True

    async def __aenter__(self) -> None:
        """Wait until nobody else is in it."""
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next one in."""
        self.release()

    def release(self) -> None:
        """Let the next one in."""
        self.held = False
        self._free.notify()
