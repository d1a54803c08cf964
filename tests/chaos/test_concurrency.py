"""Threads and tasks: how many at once, in what order they come back, and that none outlives its test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from tests.chaos.projects import Project
from tests.chaos.utils import AsyncTaskPool, ChaosExecutor

pytestmark = [pytest.mark.chaos, pytest.mark.concurrent]


def test_twenty_threads_meet(concurrent_executor: ChaosExecutor) -> None:
    meeting = threading.Barrier(20, timeout=60)
    met = [concurrent_executor.submit(meeting.wait) for _ in range(20)]
    assert sorted(future.result() for future in met) == list(range(20))


def test_a_twenty_first_waits(concurrent_executor: ChaosExecutor) -> None:
    meeting, over = threading.Barrier(21), threading.Event()

    def hold() -> None:
        meeting.wait(60)
        over.wait(60)

    held = [concurrent_executor.submit(hold) for _ in range(20)]
    late = concurrent_executor.submit(lambda: "late")
    meeting.wait(60)
    assert not late.running()
    assert not late.done()
    over.set()
    assert late.result(60) == "late"
    assert all(future.result(60) is None for future in held)


def test_a_task_that_outlives_its_test_is_reported_and_ended(project: Project) -> None:
    result = project.run(
        """
        from tests.waiting import until

        def forget(conn):
            conn.execute("SELECT pg_sleep(600)")

        def test_forgets(concurrent_executor, sync_conn, transaction_monitor):
            concurrent_executor.submit(forget, sync_conn)
            until(transaction_monitor.transactions, "the statement running")

        def test_next(sync_conn, transaction_monitor):
            assert transaction_monitor.transactions() == []
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*test left behind*", "*tasks of concurrent_executor: forget"])


async def test_results_come_in_the_order_of_the_tasks(async_task_pool: AsyncTaskPool) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    gates[2].set()

    async def step(number: int) -> int:
        await gates[number].wait()
        if number:
            gates[number - 1].set()
        return number

    def task(number: int) -> Callable[[], Awaitable[int]]:
        return lambda: step(number)

    assert await async_task_pool([task(0), step(1), task(2)]) == [0, 1, 2]


@pytest.mark.parametrize("most", [1, 3, 10])
async def test_no_more_at_once_than_allowed(async_task_pool: AsyncTaskPool, most: int) -> None:
    running, seen = 0, 0

    async def task() -> None:
        nonlocal running, seen
        running += 1
        seen = max(seen, running)
        for _ in range(5):
            await asyncio.sleep(0)  # a turn for each of the others
        running -= 1

    await async_task_pool([task] * 25, max_concurrent=most)
    assert seen == most


async def test_the_first_error_ends_the_others(async_task_pool: AsyncTaskPool) -> None:
    ended = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def fail() -> None:
        await asyncio.sleep(0)  # the others begin first
        raise LookupError("no such thing")

    never_begun = wait_for_ever()
    with pytest.raises(LookupError, match="no such thing"):
        await async_task_pool([wait_for_ever, fail, never_begun], max_concurrent=2)
    assert ended == ["cancelled"]


async def test_errors_among_the_results(async_task_pool: AsyncTaskPool) -> None:
    async def task(number: int) -> int:
        return 1 // number

    one, error = await async_task_pool([task(1), task(0)], return_exceptions=True)
    assert one == 1
    assert isinstance(error, ZeroDivisionError)


async def test_a_bound_that_is_none_is_refused(async_task_pool: AsyncTaskPool) -> None:
    with pytest.raises(ValueError, match="max_concurrent=0"):
        await async_task_pool([asyncio.sleep(0)], max_concurrent=0)


def test_an_error_in_a_task_whose_result_is_never_read_fails_the_test(project: Project) -> None:
    result = project.run(
        """
        import pytest

        def breaks():
            raise ZeroDivisionError("nobody looks")

        def test_does_not_ask(concurrent_executor):
            concurrent_executor.submit(breaks)

        def test_asks(concurrent_executor):
            with pytest.raises(ZeroDivisionError):
                concurrent_executor.submit(breaks).result(60)

        def test_asks_many(concurrent_executor):
            with pytest.raises(ZeroDivisionError):
                list(concurrent_executor.map(lambda _: breaks(), range(1)))
        """
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        ["*error in a task of concurrent_executor*breaks*", "*ZeroDivisionError: nobody looks*"]
    )
