"""Threads for sessions that do something at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from random import Random
from typing import Any, ParamSpec, TypeVar

from pgchaos.randomness import branch, drawing_from

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ChaosExecutor(ThreadPoolExecutor):
    """A pool of threads whose tasks each draw from a random stream of their own, by the order of submission.

    Args:
        max_workers: threads at once.
    """

    def __init__(self, max_workers: int = 20) -> None:
        super().__init__(max_workers, thread_name_prefix="chaos")
        self._submitted: dict[Future[Any], str] = {}

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have a function called in a thread.

        Args:
            fn: the function.
            args: its arguments.
            kwargs: its keyword arguments.

        Returns:
            What will come of it.

        Raises:
            RuntimeError: the test is over, and no tasks are taken any more.
        """
        future = super().submit(_run, branch(), fn, *args, **kwargs)
        self._submitted[future] = getattr(fn, "__qualname__", repr(fn)).rpartition("<locals>.")[2]
        return future

    def unfinished(self, limit: float) -> list[str]:
        """Take no more tasks, forget those that have not begun, and wait for the others.

        Args:
            limit: seconds to wait.

        Returns:
            The names of functions that still run.
        """
        self.shutdown(wait=False, cancel_futures=True)
        end = time.monotonic() + limit
        left = wait(self._submitted, max(0.0, end - time.monotonic())).not_done
        return sorted(name for future, name in self._submitted.items() if future in left)


def _run(source: Random, fn: Callable[..., _T], /, *args: object, **kwargs: object) -> _T:
    with drawing_from(source):
        return fn(*args, **kwargs)
