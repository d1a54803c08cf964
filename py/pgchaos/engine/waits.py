"""What a task can wait for: a descriptor, a deadline, a stop, a change made by another task, a mutex."""

from __future__ import annotations

import select
import time
from collections.abc import Generator
from enum import Enum
from types import TracebackType
from typing import Protocol

from pgchaos.stop import Stop


class WakeReason(Enum):
    """Why a task was resumed."""

    READY = "ready"
    """The descriptor is ready, or another task woke it."""
    LATE = "late"
    """The deadline has passed."""
    STOPPED = "stopped"
    """The stop of the wait was set."""


READY, LATE, STOPPED = WakeReason.READY, WakeReason.LATE, WakeReason.STOPPED

_AT_ONCE = 0.00005
"""Seconds to poll for an answer before the thread sleeps."""
ACTIVE_LOOPS: set[object] = set()
"""What waits for answers: loops of this process, coroutines under `run_sync`, and a child that makes runs."""


class Waiting(Protocol):
    """A task that waits."""

    wait: Wait | None

    def wake(self, why: WakeReason) -> None:
        """Resume it."""


class Wait:
    """One wait of a task: for a descriptor or a call of `wake`, until a deadline or a stop.

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

    def __await__(self) -> Generator[Wait, WakeReason, WakeReason]:
        """Wait, and return why the wait ended."""
        return (yield self)

    def wake(self) -> None:
        """Resume the task that is in this wait."""
        if self.task is not None and self.task.wait is self:
            self.task.wake(READY)

    def block(self) -> WakeReason:
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
    """Poll for some microseconds without sleeping.

    A local server answers a short statement within 20 to 50 µs. On an idle processor it takes as long again until a
    thread that sleeps in poll is scheduled. With several active loops, the processors are left to them and the server.

    Args:
        poll: in which the descriptors are registered.

    Returns:
        Those that are ready, with their events.
    """
    if len(ACTIVE_LOOPS) > 1:
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
        Whether the stop was set.
    """
    return await Wait(until=time.monotonic() + seconds, stop=stop) is STOPPED


def has_ended(descriptor: int) -> bool:
    """Whether the peer of a connection has closed or reset it."""
    ends = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", select.POLLHUP)
    poll = select.poll()
    poll.register(descriptor, ends)
    return bool(poll.poll(0))


class Condition:
    """A condition variable for the tasks of one loop: `notify` wakes all that wait, later waits begin anew."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Wait] = []

    async def wait(self, until: float | None = None, stop: Stop | None = None) -> WakeReason:
        """Wait for the next `notify`.

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
        """Wake all tasks that wait."""
        waiting, self._waiting = self._waiting, []
        for wait in waiting:
            wait.wake()


class Mutex:
    """A lock between tasks of one loop."""

    def __init__(self) -> None:
        self.held = False
        self._free = Condition()

    async def acquire(self, stop: Stop | None = None) -> bool:
        """Wait until it is free, and take it.

        Args:
            stop: ends the wait.

        Returns:
            False if the stop was set.
        """
        while self.held:
            if await self._free.wait(stop=stop) is STOPPED and self.held:
                return False
        self.held = True
        return True

    async def __aenter__(self) -> None:
        """Acquire it."""
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()

    def release(self) -> None:
        """Let another task acquire it."""
        self.held = False
        self._free.notify()
