"""Runs jobs ahead, side by side, while somebody asks for their results in order. Knows no database and no pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class JobExecutor(Generic[Job, Result]):
    """Jobs that are run in threads, in order.

    Args:
        run: runs one job; what it raises is raised by `result_of`.
        workers: how many at once.
    """

    def __init__(self, run: Callable[[Job], Result], workers: int) -> None:
        self._run = run
        self._pool = ThreadPoolExecutor(workers, "pgchaos ahead")
        self._futures: dict[str, Future[Result]] = {}

    def start(self, jobs: Mapping[str, Job]) -> None:
        """Begin to run jobs.

        Args:
            jobs: by their keys, in the order in which they begin.
        """
        for key, job in jobs.items():
            self._futures[key] = self._pool.submit(self._run, job)

    def result_of(self, key: str, job: Job) -> Result:
        """Bring the result of a job, waiting for it; one that was not started is run here and now.

        Args:
            key: of the job; its result is given out once.
            job: the job.
        """
        future = self._futures.pop(key, None)
        return self._run(job) if future is None else future.result()

    def close(self) -> None:
        """Start no more; wait for those that run."""
        self._pool.shutdown(wait=True, cancel_futures=True)
