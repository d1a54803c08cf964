"""The one place of the engine with threads: a short one for each thing that can only block.

Processes, files, and the cancel of a libpq before 17 have no asynchronous form. Nothing else of a run is in a thread.
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
    """Do something that blocks in a thread of its own; other tasks go on."""
    helper = begin_in_thread(work, name)
    try:
        await Wait(helper.over.fileno(), select.POLLIN, None if within is None else time.monotonic() + within)
        return helper.result()
    finally:
        # where it still works it sets this no more
        helper.over.close()


def begin_in_thread(work: Callable[[], T], name: str) -> ThreadWork[T]:
    """Begin something that blocks in a thread of its own, and do not wait for it."""
    helper = ThreadWork(work)
    try:
        threads.start(threading.Thread(target=Context().run, args=(helper.do,), name=f"pgchaos {name}", daemon=True))
    except BaseException:
        helper.over.close()
        raise
    return helper


class ThreadWork(Generic[T]):
    """What is done in a thread."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.over = Stop()
        """Set when it is done; whoever begins it closes this."""
        self.native_id: int | None = None
        """Of the thread, as the system numbers it; None before it runs."""
        self.ident: int | None = None
        """Of the thread, as Python numbers it."""
        self._error: BaseException | None = None
        self._result: Any = None

    def do(self) -> None:
        """Do it, in the thread."""
        self.native_id, self.ident = threading.get_native_id(), threading.get_ident()
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self.over.set()

    def result(self) -> T:
        """Give what it returned, or raise what it raised; TimeoutError where it is not over."""
        if not self.over.is_set():
            raise TimeoutError
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result
