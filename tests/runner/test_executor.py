from __future__ import annotations

import threading

import pytest

from pgchaos.runner.executor import JobExecutor
from pgchaos.server.settings import ServerError

LIMIT = 60.0
"""Seconds that nothing here may take."""


def test_jobs_run_side_by_side_and_results_come_by_job() -> None:
    meeting = threading.Barrier(3, timeout=LIMIT)

    def run(job: str) -> str:
        meeting.wait()
        return job.upper()

    executor = JobExecutor(run, 3)
    executor.start({job: job for job in "abc"})
    assert [executor.result_of(job, job) for job in ("c", "a", "b")] == ["C", "A", "B"]
    executor.close()


def test_a_job_that_was_not_started_runs_in_the_calling_thread() -> None:
    executor: JobExecutor[str, threading.Thread] = JobExecutor(lambda _: threading.current_thread(), 2)
    assert executor.result_of("alone", "alone") is threading.current_thread()
    executor.close()


def test_an_exception_of_a_job_is_raised_by_result_of() -> None:
    def run(job: str) -> str:
        raise LookupError(job)

    executor = JobExecutor(run, 1)
    executor.start({"a": "a"})
    with pytest.raises(LookupError, match="a"):
        executor.result_of("a", "a")
    executor.close()


def test_nothing_is_started_after_close_and_what_runs_is_waited_for() -> None:
    began, go, done = threading.Event(), threading.Event(), list[str]()

    def run(job: str) -> None:
        began.set()
        go.wait(LIMIT)
        done.append(job)

    executor = JobExecutor(run, 1)
    executor.start({"first": "first", "second": "second"})
    assert began.wait(LIMIT)
    closing = threading.Thread(target=executor.close)
    closing.start()
    while not executor._futures["second"].cancelled():
        assert closing.is_alive()
    go.set()
    closing.join(LIMIT)
    assert done == ["first"]
    assert not closing.is_alive()


def test_a_thread_that_cannot_be_started_is_reported_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    executor = JobExecutor(str.upper, 2)
    monkeypatch.setattr("threading.Thread.start", full)
    with pytest.raises(ServerError, match=r"cannot start a thread for pgchaos job, .*ulimit -u"):
        executor.start({"a": "a", "b": "b"})
    executor.close()
