"""Runs the tasks of one run in one thread: coroutines that yield what they wait for.

Not asyncio: its futures and callbacks cost a third of the statements per second, and it cannot run inside a user's
event loop. `run_sync` runs one such coroutine without a loop.
"""

from __future__ import annotations

import heapq
import select
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from pgchaos.engine.waits import ACTIVE_LOOPS, LATE, READY, STOPPED, Condition, Wait, WakeReason, ready_at_once
from pgchaos.stop import Stop

T = TypeVar("T")

_MILLISECOND = 0.001
"""The resolution of poll."""
_UNPOLLED = 4
"""Rounds of ready tasks between two polls of the descriptors."""
_SELECTABLE = 1024
"""Descriptors that select takes (FD_SETSIZE); it counts in microseconds."""


class Task(Generic[T]):
    """A coroutine of a loop.

    Args:
        loop: that runs it.
        work: the coroutine.
        on_error: called with the exception of the coroutine; None: `result` raises it.
    """

    __slots__ = ("_ended", "_error", "_on_error", "_result", "done", "loop", "turn", "unread_error", "wait", "work")

    def __init__(
        self, loop: Loop, work: Coroutine[Any, Any, T], on_error: Callable[[Exception], None] | None = None
    ) -> None:
        self.loop, self.work, self._on_error = loop, work, on_error
        self.wait: Wait | None = None
        self.turn = 0
        self.done = False
        self.unread_error = False
        """It raised an exception, which neither `on_error` nor a call of `result` has seen."""
        self._ended = Condition()
        self._error: BaseException | None = None
        self._result: T | None = None

    def wake(self, why: WakeReason) -> None:
        """Resume it if it waits."""
        self.loop.wake(self, why)

    def finish(self, result: T | None, error: BaseException | None) -> None:
        """Record how it ended."""
        self.done, self._result, self._error = True, result, error
        if self._on_error is not None and isinstance(error, Exception):
            self._on_error(error)
        else:
            self.unread_error = error is not None
        self._ended.notify()

    async def ends(self, within: float | None = None) -> bool:
        """Wait until it has ended; return whether it has."""
        until = None if within is None else time.monotonic() + within
        while not self.done and await self._ended.wait(until) is not LATE:
            pass
        return self.done

    def result(self) -> T:
        """Return what the ended coroutine returned, or raise its exception."""
        self.unread_error = False
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None only where that is what it returned


class Loop:
    """Runs tasks.

    Args:
        interrupted: called when Ctrl-C or an error of the loop ends `run`: it must make all tasks end.
    """

    def __init__(self, interrupted: Callable[[], None] = lambda: None) -> None:
        self._interrupted = interrupted
        self._poll = select.poll()
        self._polled: dict[int, int] = {}
        self._by_fd: dict[int, Task[Any]] = {}
        self._stops: dict[int, Stop] = {}
        self._known_stops: set[Stop] = set()
        self._ready: deque[tuple[Task[Any], WakeReason | None]] = deque()
        self._timers: list[tuple[float, int, int, Task[Any]]] = []
        self._timed = self._unpolled = 0
        self._tasks: set[Task[Any]] = set()
        self._failed: list[Task[Any]] = []

    def spawn(self, work: Coroutine[Any, Any, T], on_error: Callable[[Exception], None] | None = None) -> Task[T]:
        """Start a task; it begins to run when the current one waits."""
        task = Task(self, work, on_error)
        self._tasks.add(task)
        self._ready.append((task, None))
        return task

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a task, and all tasks that it starts, to their end.

        Args:
            main: the task.

        Returns:
            What it returned.

        Raises:
            KeyboardInterrupt: on Ctrl-C, after all tasks have ended.
        """
        task, outer = self.spawn(main), _RUNNING.get()
        try:
            ACTIVE_LOOPS.add(self)
            _RUNNING.set(self)
            self._run()
        except BaseException:  # Ctrl-C: stop all tasks, then wait for them
            self._interrupted()
            self._wake_lost()
            self._run()
            raise
        finally:
            # first, as Ctrl-C may end this block: later calls of run_sync would refuse to run
            _RUNNING.set(outer)
            ACTIVE_LOOPS.discard(self)
        result = task.result()
        for failed in self._failed:
            if failed.unread_error:
                # no exception of a task is lost
                failed.result()
        return result

    def _run(self) -> None:
        while self._tasks:
            # tasks that wake each other again and again leave time for all others
            for _ in range(len(self._ready)):
                self._step(*self._ready.popleft())
            if self._tasks:
                self._await()

    def _step(self, task: Task[Any], why: WakeReason | None) -> None:
        """Run a task until it waits again."""
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
            if stop not in self._known_stops:
                self._register(stop)
        task.wait, wait.task = wait, task
        if fd >= 0:
            self._by_fd[fd] = task
            if self._polled.get(fd) != wait.events:
                # it stays registered; _await removes it when it is ready and no task waits for it
                self._poll.register(fd, wait.events)
                self._polled[fd] = wait.events
        if wait.until is not None:
            self._timed += 1
            heapq.heappush(self._timers, (wait.until, self._timed, task.turn, task))

    def _register(self, stop: Stop) -> None:
        self._known_stops.add(stop)
        self._stops[stop.fileno()] = stop
        self._poll.register(stop.fileno(), select.POLLIN)
        self._polled[stop.fileno()] = select.POLLIN

    def wake(self, task: Task[Any], why: WakeReason) -> None:
        """Resume a task that waits."""
        wait = task.wait
        if wait is not None:
            if wait.fd >= 0:
                self._by_fd.pop(wait.fd, None)
            task.wait = None
            self._ready.append((task, why))

    def _await(self) -> None:
        """Wait until a task is ready."""
        if self._ready and self._unpolled < _UNPOLLED:
            # mostly a ready task wakes another: a poll costs as much as the step itself
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
                self._on_stop(fd)
        now = time.monotonic() if timers else 0.0
        while timers and timers[0][0] <= now:
            _, _, turn, task = heapq.heappop(timers)
            if task.turn == turn:
                self.wake(task, LATE)

    def _on_stop(self, fd: int) -> None:
        """Wake the tasks whose wait has this stop, if it was set."""
        stop = self._stops.pop(fd, None)
        if stop is None or not stop.is_set():
            return
        for task in self._tasks:
            if task.wait is not None and task.wait.stop is stop:
                self.wake(task, STOPPED)

    def _wake_lost(self) -> None:
        """Resume tasks that neither wait nor are ready, because an exception came between two steps."""
        ready = {task for task, _ in self._ready}
        self._ready += [(task, STOPPED) for task in self._tasks if task.wait is None and task not in ready]


def ready_descriptors(poll: select.poll, polled: Mapping[int, int], seconds: float | None) -> list[int]:
    """Wait for descriptors, and return those that are ready.

    Poll counts in milliseconds and rounds up, so select is used for shorter waits. See `ready_at_once` for answers that
    come at once.

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
            # select cannot wait for the peer to hang up
            seconds = 0.0
    return [fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)]


_RUNNING: ContextVar[Loop | None] = ContextVar("running", default=None)


def begin(work: Coroutine[Any, Any, T], on_error: Callable[[Exception], None] | None = None) -> Task[T]:
    """Start a task in the loop of the current one; see `Loop.spawn`."""
    loop = _RUNNING.get()
    assert loop is not None, "only a task starts another"
    return loop.spawn(work, on_error)


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end without a loop: the thread blocks in each of its waits.

    Args:
        work: the coroutine; no other task can wake it.

    Returns:
        What it returned.
    """
    assert _RUNNING.get() is None, "in a loop await it: this would block all other tasks"
    ACTIVE_LOOPS.add(work)
    try:
        wait = work.send(None)
        while True:
            try:
                why = wait.block()
            except BaseException as error:  # noqa: PERF203  # Ctrl-C: the coroutine cleans up
                wait = work.throw(error)
            else:
                wait = work.send(why)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        ACTIVE_LOOPS.discard(work)
