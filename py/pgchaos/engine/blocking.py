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
    helper = _Helper(work)
    try:
        threads.start(threading.Thread(target=Context().run, args=(helper.do,), name=f"pgchaos {name}", daemon=True))
        await Wait(helper.over.fileno(), select.POLLIN, None if within is None else time.monotonic() + within)
        return helper.result()
    finally:
        # where it still works it sets this no more
        helper.over.close()


class _Helper(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.over = Stop()
        self._error: BaseException | None = None
        self._result: Any = None

    def do(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self.over.set()

    def result(self) -> T:
        if not self.over.is_set():
            raise TimeoutError
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result
