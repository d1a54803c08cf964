"""Runs jobs in threads, within a limit of database connections."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeVar

from pgchaos.server.threads import not_started

Job = TypeVar("Job")
Result = TypeVar("Result")


_CHECK_INTERVAL = 1.0
"""Seconds between checks for a lost interrupt."""


class ConnectionSemaphore:
    """A fair semaphore: connections are granted in the order of the requests.

    A request for many connections is not overtaken by smaller ones, so it cannot starve.
    """

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._used = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def acquire(self, count: int) -> Iterator[None]:
        """Wait for connections, and hold them within the context; at most the total is acquired."""
        count = min(count, self._total)
        request = object()
        with self._changed:
            self._queue.append(request)
            try:
                self._changed.wait_for(lambda: self._queue[0] is request and self._used + count <= self._total)
                self._used += count
            finally:
                self._queue.remove(request)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()

    def acquire_all(self) -> AbstractContextManager[None]:
        """Hold all connections, so that no other job runs."""
        return self.acquire(self._total)


class JobExecutor(Generic[Job, Result]):
    """Runs jobs in threads, in order; what a job raises is raised by `result_of`."""

    def __init__(self, run: Callable[[Job], Result], workers: int) -> None:
        self._run = run
        self._pool = ThreadPoolExecutor(workers, "pgchaos job")
        self._futures: dict[str, Future[Result]] = {}

    def start(self, jobs: Mapping[str, Job]) -> None:
        """Submit jobs, by key, in the order in which they are to begin.

        Raises:
            ServerError: the system's limit of threads is reached.
        """
        try:
            for key, job in jobs.items():
                self._futures[key] = self._pool.submit(self._run, job)
        except RuntimeError as error:
            raise not_started("pgchaos job", error) from error

    def result_of(self, key: str, job: Job, check: Callable[[], None] = lambda: None) -> Result:
        """Wait for the result of a job, which is returned once; a job that was not submitted runs in this thread.

        Meanwhile `check` is called; what it raises ends the wait.
        """
        future = self._futures.pop(key, None)
        if future is None:
            return self._run(job)
        while not wait([future], _CHECK_INTERVAL).done:
            check()
        return future.result()

    def close(self) -> None:
        """Cancel the jobs that have not begun, and wait for the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)
