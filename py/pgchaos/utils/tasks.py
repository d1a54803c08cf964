"""Asynchronous tasks, a bounded number at once, of which none outlives the call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

from pgchaos.randomness import branch, drawing_from

Task = Callable[[], Awaitable[Any]] | Awaitable[Any]


class AsyncTaskPool:
    """Runs tasks side by side: `await async_task_pool(tasks, max_concurrent=10)`."""

    async def __call__(
        self, tasks: Iterable[Task], max_concurrent: int = 10, *, return_exceptions: bool = False
    ) -> list[Any]:
        """Run tasks, and wait for all.

        Each draws from a random stream of its own, by its place in the list.

        Args:
            tasks: coroutine functions without arguments, or coroutines.
            max_concurrent: at once, at least 1.
            return_exceptions: give errors among the results, as asyncio.gather does.

        Returns:
            Their results, in the order of the tasks.

        Raises:
            ValueError: none may run.
            BaseException: the first error of a task; the other tasks are cancelled and have ended.
        """
        tasks = list(tasks)
        if max_concurrent < 1:
            _close(tasks)
            raise ValueError(f"max_concurrent={max_concurrent} lets no task run: at least 1 is meant")
        gate = asyncio.Semaphore(max_concurrent)
        broken = None if return_exceptions else asyncio.Event()
        running = [asyncio.ensure_future(_one(task, gate, branch(), broken)) for task in tasks]
        try:
            return await asyncio.gather(*running, return_exceptions=return_exceptions)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            _close(tasks)


async def _one(task: Task, gate: asyncio.Semaphore, source: Random, broken: asyncio.Event | None) -> Any:  # noqa: ANN401 whatever the task returns
    async with gate:
        if broken is not None and broken.is_set():
            raise asyncio.CancelledError  # before the gather has heard of the error, this one may be let in
        try:
            with drawing_from(source):
                return await (task() if callable(task) else task)
        except BaseException:  # a cancellation too: the others are not to begin
            if broken is not None:
                broken.set()
            raise


def _close(tasks: Iterable[Task]) -> None:
    """A coroutine that is never awaited warns."""
    for task in tasks:
        if inspect.iscoroutine(task):
            task.close()
