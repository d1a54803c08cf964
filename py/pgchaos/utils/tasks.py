"""Runs asynchronous tasks concurrently, a limited number at once; none outlives the call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

from pgchaos.randomness import branch, drawing_from

Task = Callable[[], Awaitable[Any]] | Awaitable[Any]


class AsyncTaskPool:
    """Runs tasks concurrently: `await async_task_pool(tasks, max_concurrent=10)`."""

    async def __call__(
        self, tasks: Iterable[Task], max_concurrent: int = 10, *, return_exceptions: bool = False
    ) -> list[Any]:
        """Run tasks, and wait for all. Each has a random stream of its own, by its position in the list.

        Args:
            tasks: coroutine functions without arguments, or coroutines.
            max_concurrent: tasks at once, at least 1.
            return_exceptions: return exceptions among the results, as asyncio.gather does.

        Returns:
            Their results, in the order of the tasks.

        Raises:
            ValueError: `max_concurrent` is below 1.
            BaseException: the first error of a task; the other tasks are cancelled, and have ended.
        """
        tasks = list(tasks)
        if max_concurrent < 1:
            _close(tasks)
            raise ValueError(f"invalid max_concurrent={max_concurrent}: expected at least 1")
        semaphore = asyncio.Semaphore(max_concurrent)
        has_failed = None if return_exceptions else asyncio.Event()
        running = [asyncio.ensure_future(_run_task(task, semaphore, branch(), has_failed)) for task in tasks]
        try:
            return await asyncio.gather(*running, return_exceptions=return_exceptions)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            _close(tasks)


async def _run_task(task: Task, semaphore: asyncio.Semaphore, source: Random, has_failed: asyncio.Event | None) -> Any:  # noqa: ANN401 whatever the task returns
    async with semaphore:
        if has_failed is not None and has_failed.is_set():
            raise asyncio.CancelledError  # the semaphore may admit this task before gather() sees the error
        try:
            with drawing_from(source):
                return await (task() if callable(task) else task)
        except BaseException:  # a cancellation too: the others must not begin
            if has_failed is not None:
                has_failed.set()
            raise


def _close(tasks: Iterable[Task]) -> None:
    # Python warns of a coroutine that is never awaited
    for task in tasks:
        if inspect.iscoroutine(task):
            task.close()
