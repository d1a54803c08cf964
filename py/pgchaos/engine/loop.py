"""Runs the tasks of one run in one thread: coroutines that say what they wait for.

It is no asyncio, whose futures and callbacks cost a third of the statements a second, and which cannot be run inside
somebody else's event loop. The same coroutines run by themselves, by `alone`, where nothing else goes on.
"""

from __future__ import annotations

import heapq
import select
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from pgchaos.engine.waits import AT_WORK, LATE, READY, STOPPED, News, Wait, Why, ready_at_once
from pgchaos.stop import Stop

T = TypeVar("T")

_MILLISECOND = 0.001
"""What poll counts in."""
_UNPOLLED = 4
"""Turns of those who are ready, one after the other, without a look at the descriptors."""
_SELECTABLE = 1024
"""Descriptors that select takes, which counts in microseconds (FD_SETSIZE)."""


class Task(Generic[T]):
    """A coroutine of a loop.

    Args:
        loop: that runs it.
        work: the coroutine.
        broke: called with what it raised, an error of ours; None: whoever calls `result` gets it.
    """

    __slots__ = ("_broke", "_ended", "_error", "_result", "done", "kept", "loop", "turn", "wait", "work")

    def __init__(
        self, loop: Loop, work: Coroutine[Any, Any, T], broke: Callable[[Exception], None] | None = None
    ) -> None:
        self.loop, self.work, self._broke = loop, work, broke
        self.wait: Wait | None = None
        self.turn = 0
        self.done = False
        self.kept = False
        """It raised something, and nobody was told so far."""
        self._ended = News()
        self._error: BaseException | None = None
        self._result: T | None = None

    def wake(self, why: Why) -> None:
        """Have it go on, where it waits."""
        self.loop.wake(self, why)

    def finish(self, result: T | None, error: BaseException | None) -> None:
        """Note how it ended."""
        self.done, self._result, self._error = True, result, error
        if self._broke is not None and isinstance(error, Exception):
            self._broke(error)
        else:
            self.kept = error is not None
        self._ended.notify()

    async def ends(self, within: float | None = None) -> bool:
        """Wait for its end."""
        until = None if within is None else time.monotonic() + within
        while not self.done and await self._ended.wait(until) is not LATE:
            pass
        return self.done

    def result(self) -> T:
        """Give what it returned, once it has ended, or raise what it raised."""
        self.kept = False
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None only where that is what it returned


class Loop:
    """Runs tasks.

    Args:
        interrupted: called where Ctrl-C or an error of the loop's own ends a run: all tasks are to come to an end.
    """

    def __init__(self, interrupted: Callable[[], None] = lambda: None) -> None:
        self._interrupted = interrupted
        self._poll = select.poll()
        self._polled: dict[int, int] = {}
        self._by_fd: dict[int, Task[Any]] = {}
        self._stops: dict[int, Stop] = {}
        self._heeded: set[Stop] = set()
        self._ready: deque[tuple[Task[Any], Why | None]] = deque()
        self._timers: list[tuple[float, int, int, Task[Any]]] = []
        self._timed = self._unpolled = 0
        self._tasks: set[Task[Any]] = set()
        self._failed: list[Task[Any]] = []

    def spawn(self, work: Coroutine[Any, Any, T], broke: Callable[[Exception], None] | None = None) -> Task[T]:
        """Begin a task; it goes on when this one waits."""
        task = Task(self, work, broke)
        self._tasks.add(task)
        self._ready.append((task, None))
        return task

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a task, and all that it begins, to their end.

        Args:
            main: the task.

        Returns:
            What it returned.

        Raises:
            KeyboardInterrupt: Ctrl-C, once all tasks have ended.
        """
        task, running = self.spawn(main), _RUNNING.set(self)
        AT_WORK.add(self)
        try:
            self._run()
        except BaseException:  # Ctrl-C: nobody is waited for who is not told to stop
            self._interrupted()
            self._wake_lost()
            self._run()
            raise
        finally:
            AT_WORK.discard(self)
            _RUNNING.reset(running)
        result = task.result()
        for failed in self._failed:
            if failed.kept:
                # an error of ours is never lost
                failed.result()
        return result

    def _run(self) -> None:
        while self._tasks:
            # those who wake each other again and again leave time for all others
            for _ in range(len(self._ready)):
                self._step(*self._ready.popleft())
            if self._tasks:
                self._await()

    def _step(self, task: Task[Any], why: Why | None) -> None:
        """Have a task go on until it waits again."""
        task.turn += 1
        try:
            wait = task.work.send(why)
        except StopIteration as end:
            self._tasks.discard(task)
            task.finish(end.value, None)
        except BaseException as error:
            self._tasks.discard(task)
            self._failed.append(task)
            task.finish(None, error)
            if not isinstance(error, Exception):  # Ctrl-C
                raise
        else:
            self._park(task, wait)

    def _park(self, task: Task[Any], wait: Wait) -> None:
        stop, fd = wait.stop, wait.fd
        if stop is not None:
            if stop.is_set():
                self._ready.append((task, STOPPED))
                return
            if stop not in self._heeded:
                self._heed(stop)
        task.wait, wait.task = wait, task
        if fd >= 0:
            self._by_fd[fd] = task
            if self._polled.get(fd) != wait.events:
                # it stays so: what is ready and waited for by nobody is taken out then
                self._poll.register(fd, wait.events)
                self._polled[fd] = wait.events
        if wait.until is not None:
            self._timed += 1
            heapq.heappush(self._timers, (wait.until, self._timed, task.turn, task))

    def _heed(self, stop: Stop) -> None:
        self._heeded.add(stop)
        self._stops[stop.fileno()] = stop
        self._poll.register(stop.fileno(), select.POLLIN)
        self._polled[stop.fileno()] = select.POLLIN

    def wake(self, task: Task[Any], why: Why) -> None:
        """Have a task go on that waits."""
        wait = task.wait
        if wait is not None:
            if wait.fd >= 0:
                self._by_fd.pop(wait.fd, None)
            task.wait = None
            self._ready.append((task, why))

    def _await(self) -> None:
        """Wait until a task can go on."""
        if self._ready and self._unpolled < _UNPOLLED:
            # the next wakes another mostly: a look costs as much as what it does
            self._unpolled += 1
            return
        self._unpolled = 0
        timers = self._timers
        while timers and (timers[0][3].turn != timers[0][2] or timers[0][3].wait is None):
            heapq.heappop(timers)
        seconds = max(0.0, timers[0][0] - time.monotonic()) if timers else None
        for fd in ready_descriptors(self._poll, self._polled, 0.0 if self._ready else seconds):
            task = self._by_fd.pop(fd, None)
            if task is not None:
                task.wait = None
                self._ready.append((task, READY))
            else:
                self._poll.unregister(fd)
                del self._polled[fd]
                self._obey(fd)
        now = time.monotonic() if timers else 0.0
        while timers and timers[0][0] <= now:
            _, _, turn, task = heapq.heappop(timers)
            if task.turn == turn:
                self.wake(task, LATE)

    def _obey(self, fd: int) -> None:
        """Wake those who heed a stop that was set."""
        stop = self._stops.pop(fd, None)
        if stop is None or not stop.is_set():
            return
        for task in self._tasks:
            if task.wait is not None and task.wait.stop is stop:
                self.wake(task, STOPPED)

    def _wake_lost(self) -> None:
        """Have those go on whom an exception met between two steps; nobody else knows of them."""
        ready = {task for task, _ in self._ready}
        self._ready += [(task, STOPPED) for task in self._tasks if task.wait is None and task not in ready]


def ready_descriptors(poll: select.poll, polled: Mapping[int, int], seconds: float | None) -> list[int]:
    """Wait for descriptors, and give those that are ready.

    Poll counts in milliseconds and rounds up, so select takes what is shorter.
    Answers that come at once are taken without sleeping; see `ready_at_once`.

    Args:
        poll: in which they are registered.
        polled: the events that each is registered for.
        seconds: to wait, or None.
    """
    if seconds != 0.0 and (ready := ready_at_once(poll)):
        return [fd for fd, _ in ready]
    if seconds is not None and 0.0 < seconds < _MILLISECOND and max(polled, default=0) < _SELECTABLE:
        readable = [fd for fd, events in polled.items() if events & select.POLLIN]
        writable = [fd for fd, events in polled.items() if events & select.POLLOUT]
        try:
            found = select.select(readable, writable, (), seconds)
        except OSError:  # one was closed: poll says which
            seconds = 0.0
        else:
            if polled.keys() <= {*readable, *writable}:
                return list({*found[0], *found[1]})
            # select knows nothing of who waits for the other end to hang up
            seconds = 0.0
    return [fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)]


_RUNNING: ContextVar[Loop | None] = ContextVar("running", default=None)


def begin(work: Coroutine[Any, Any, T], broke: Callable[[Exception], None] | None = None) -> Task[T]:
    """Begin a task beside the one that runs; see `Loop.spawn`."""
    loop = _RUNNING.get()
    assert loop is not None, "only a task begins another"
    return loop.spawn(work, broke)


def alone(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine by itself, outside a loop: this thread waits for nothing else meanwhile.

    Args:
        work: the coroutine; nobody else is there to wake it.

    Returns:
        What it returned.
    """
    assert _RUNNING.get() is None, "in a loop it is awaited: all others would have to wait"
    AT_WORK.add(work)
    try:
        wait = work.send(None)
        while True:
            try:
                why = wait.block()
            except BaseException as error:  # noqa: PERF203  # Ctrl-C: it leaves nothing half done
                wait = work.throw(error)
            else:
                wait = work.send(why)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        AT_WORK.discard(work)
