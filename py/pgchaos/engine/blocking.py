"""The only module of the engine with threads: a short one for each call that can only block.

Processes, files, and the cancel of a libpq before 17 have no asynchronous form. The rest of a run has no threads.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, Generic, TypeVar

from pgchaos.engine.waits import Wait
from pgchaos.server import threads
from pgchaos.stop import Stop

T = TypeVar("T")


async def in_thread(work: Callable[[], T], name: str, within: float | None = None) -> T:
    """Make a blocking call in a thread, while other tasks run."""
    helper = begin_in_thread(work, name)
    try:
        await Wait(helper.over.fileno(), select.POLLIN, None if within is None else time.monotonic() + within)
        return helper.result()
    finally:
        # a thread that still runs does not set a closed stop
        helper.over.close()


def begin_in_thread(work: Callable[[], T], name: str) -> ThreadWork[T]:
    """Start a blocking call in a thread."""
    helper = ThreadWork(work)
    try:
        threads.start(threading.Thread(target=Context().run, args=(helper.do,), name=f"pgchaos {name}", daemon=True))
    except BaseException:
        helper.over.close()
        raise
    return helper


class ThreadWork(Generic[T]):
    """A call in a thread, and its result."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.over = Stop()
        """Set when the call has ended; the caller of `begin_in_thread` closes it."""
        self.native_id: int | None = None
        """The system's id of the thread; None before it runs."""
        self.ident: int | None = None
        """Python's id of the thread."""
        self._error: BaseException | None = None
        self._result: Any = None

    def do(self) -> None:
        """Make the call; runs in the thread."""
        self.native_id, self.ident = threading.get_native_id(), threading.get_ident()
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self.over.set()

    def result(self) -> T:
        """Return what the call returned, or raise its exception; TimeoutError if it has not ended."""
        if not self.over.is_set():
            raise TimeoutError
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result
