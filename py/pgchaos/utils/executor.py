"""Threads for sessions that work at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from random import Random
from traceback import format_exception
from typing import Any, ParamSpec, TypeVar

from pgchaos.randomness import branch, drawing_from

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ChaosFuture(Future[_T]):
    """A future that records whether its result was read."""

    is_read = False

    def result(self, timeout: float | None = None) -> _T:
        """See `concurrent.futures.Future.result`."""
        self.is_read = True
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `concurrent.futures.Future.exception`."""
        self.is_read = True
        return super().exception(timeout)


class ChaosExecutor(ThreadPoolExecutor):
    """A pool of threads. Each task has a random stream of its own, by the order of submission.

    Args:
        max_workers: threads at once.
    """

    def __init__(self, max_workers: int = 20) -> None:
        super().__init__(max_workers, thread_name_prefix="chaos")
        self._submitted: dict[ChaosFuture[Any], str] = {}

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> ChaosFuture[_T]:
        """Call a function in a thread.

        Args:
            fn: the function.
            args: its arguments.
            kwargs: its keyword arguments.

        Returns:
            The future of its result.

        Raises:
            RuntimeError: the test has ended.
        """
        future = super().submit(_run, branch(), fn, *args, **kwargs)
        future.__class__ = ChaosFuture  # the base class creates a plain Future
        assert isinstance(future, ChaosFuture)
        self._submitted[future] = getattr(fn, "__qualname__", repr(fn)).rpartition("<locals>.")[2]
        return future

    def unfinished(self, limit: float) -> list[str]:
        """Accept no more tasks, cancel those that have not begun, and wait for the others.

        Args:
            limit: seconds to wait.

        Returns:
            The names of the functions that still run.
        """
        self.shutdown(wait=False, cancel_futures=True)
        left = wait(self._submitted, limit).not_done
        return sorted(name for future, name in self._submitted.items() if future in left)

    def unread_errors(self) -> list[str]:
        """List the errors of tasks whose results were never read: the function's name and the traceback of each."""
        errors = (
            (name, future, Future.exception(future))
            for future, name in self._submitted.items()
            if future.done() and not future.cancelled()
        )
        return [
            f"{name}: {''.join(format_exception(error)).rstrip()}"
            for name, future, error in errors
            if error is not None and not future.is_read
        ]


def _run(source: Random, fn: Callable[..., _T], /, *args: object, **kwargs: object) -> _T:
    with drawing_from(source):
        return fn(*args, **kwargs)
