"""Retries: after which errors, how often, with which pauses, and the error after the last one."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from tests.chaos.utils import (
    ChaosInjector,
    SimulatedConnectionFailure,
    retry_history,
    seeded,
    with_retry,
    with_retry_sync,
)

pytestmark = pytest.mark.chaos

Sync = psycopg.Connection[dict[str, Any]]
Async = psycopg.AsyncConnection[dict[str, Any]]


@pytest.fixture
def account(sync_conn: Sync, isolated_schema: str) -> str:
    """A table with two accounts, for all sessions; its name."""
    sync_conn.execute("CREATE TABLE account AS SELECT id, 100 AS balance FROM generate_series(1, 2) AS id")
    sync_conn.execute("CREATE UNIQUE INDEX ON account (id)")
    sync_conn.commit()
    return f"{isolated_schema}.account"


async def test_a_real_serialization_failure_is_tried_again(sync_conn: Sync, async_conn: Async, account: str) -> None:
    await async_conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    attempts = []

    async def add(amount: int) -> int:
        async with async_conn.transaction():
            cursor = await async_conn.execute(f"SELECT balance FROM {account} WHERE id = 1".encode())
            row = await cursor.fetchone()
            assert row is not None
            attempts.append(row["balance"])
            if len(attempts) == 1:  # somebody is faster, once
                sync_conn.execute("UPDATE account SET balance = 500 WHERE id = 1")
                sync_conn.commit()
            new = row["balance"] + amount
            await async_conn.execute(f"UPDATE {account} SET balance = %s WHERE id = 1".encode(), [new])
            return int(new)

    assert await with_retry(add, 3, 0.001, 11) == 511
    assert attempts == [100, 500]


async def test_a_real_deadlock_is_tried_again(
    sync_conn: Sync,
    async_conn: Async,
    account: str,
    db_connection_string: str,
) -> None:
    if sync_conn.info.parameter_status("is_superuser") != "on":
        pytest.skip("only a superuser may set deadlock_timeout, which chooses the victim")
    attempts = 0
    locked, committed = asyncio.Event(), asyncio.Event()
    update = f"UPDATE {account} SET balance = balance + 1 WHERE id = %s".encode()

    async def victim() -> None:
        nonlocal attempts
        attempts += 1
        if attempts > 1:  # else it could take the row again before the other, which waits for it, has woken up
            await committed.wait()
        async with async_conn.transaction():
            await async_conn.execute("SET LOCAL deadlock_timeout = '10ms'")
            await async_conn.execute(update, [2])
            locked.set()
            await async_conn.execute(update, [1])

    async with await psycopg.AsyncConnection.connect(db_connection_string) as other:
        await other.execute("SET deadlock_timeout = '100s'")
        await other.execute(update, [1])
        running = asyncio.ensure_future(with_retry(victim, max_attempts=2, backoff=0.001))
        await locked.wait()
        await other.execute(update, [2])
        await other.commit()
        committed.set()
        await running
    assert attempts == 2
    rows = sync_conn.execute("SELECT balance FROM account ORDER BY id").fetchall()
    assert rows == [{"balance": 102}, {"balance": 102}]


def test_a_session_that_was_killed_is_tried_again(sync_conn: Sync, db_connection_string: str) -> None:
    pids = []

    def work() -> object:
        with psycopg.connect(db_connection_string) as conn:
            pids.append(conn.info.backend_pid)
            if len(pids) == 1:
                sync_conn.execute("SELECT pg_terminate_backend(%s, 5000)", [pids[0]])
            return conn.execute("SELECT 'done'").fetchone()

    assert with_retry_sync(work, max_attempts=2, backoff=0.001) == ("done",)
    assert len(pids) == 2


async def test_a_server_that_cannot_be_reached_is_tried_again() -> None:
    connect = partial(psycopg.AsyncConnection.connect, "host=/nowhere")
    with pytest.raises(psycopg.OperationalError) as caught:
        await with_retry(connect, 2, 0)
    assert len(retry_history(caught.value)) == 2


async def test_what_cannot_come_right_is_not_tried_again(sync_conn: Sync, account: str) -> None:
    attempts = 0

    def insert() -> None:
        nonlocal attempts
        attempts += 1
        with sync_conn.transaction():
            sync_conn.execute(f"INSERT INTO {account} VALUES (1, 0)".encode())

    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        await with_retry(insert, max_attempts=5, backoff=0)
    assert attempts == 1
    assert len(retry_history(caught.value)) == 1
    with pytest.raises(psycopg.errors.UniqueViolation):
        await with_retry(insert, max_attempts=5, backoff=0, retry_on=["23505"])
    assert attempts == 6
    with pytest.raises(psycopg.errors.QueryCanceled) as cancelled:  # an OperationalError too, and nothing is lost
        await with_retry(partial(_cancel, sync_conn), max_attempts=5, backoff=0)
    assert len(retry_history(cancelled.value)) == 1


def _cancel(conn: Sync) -> None:
    with conn.transaction():
        conn.execute("SELECT set_config('statement_timeout', '10ms', true)")
        conn.execute("SELECT pg_sleep(60)")


class Flaky:
    """Fails some times, and says what it was called with."""

    def __init__(self, failures: int, error: type[Exception] = SimulatedConnectionFailure) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    async def __call__(self, *args: object, **kwargs: object) -> tuple[object, ...]:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error(f"failure {self.calls}")
        return (*args, kwargs)


async def test_arguments_reach_the_function() -> None:
    flaky = Flaky(2)
    assert await with_retry(flaky, 3, 0, "a", "b", key="c", func="d") == ("a", "b", {"key": "c", "func": "d"})
    assert await with_retry(Flaky(0), max_attempts=1, key="c") == ({"key": "c"},)
    assert await ChaosInjector.with_retry(Flaky(0), 1, 0, "a") == ("a", {})


async def test_a_keyword_that_both_take_reaches_the_function_or_is_refused() -> None:
    retry: Any = with_retry  # mypy would refuse it, too

    async def patient(amount: int, backoff: str = "none", max_attempts: int = 0) -> tuple[int, str, int]:
        return amount, backoff, max_attempts

    assert await with_retry(patient, 3, 0.0, 7, backoff="long", max_attempts=9) == (7, "long", 9)
    bound = partial(patient, backoff="long", max_attempts=9)
    assert await with_retry(bound, max_attempts=2, backoff=0.0, amount=7) == (7, "long", 9)
    with pytest.raises(TypeError, match=r"backoff='long' could be meant for with_retry or for patient\(\)"):
        await retry(patient, amount=7, backoff="long")
    with pytest.raises(TypeError, match=r"max_attempts=9 could be meant"):
        await retry(patient, amount=7, max_attempts=9)


async def test_the_last_error_is_raised_with_the_history_of_all() -> None:
    with pytest.raises(SimulatedConnectionFailure, match="failure 3") as caught:
        await with_retry(Flaky(9), max_attempts=3, backoff=0.002)
    history = retry_history(caught.value)
    assert [(attempt.number, str(attempt.error)) for attempt in history] == [
        (1, "failure 1"),
        (2, "failure 2"),
        (3, "failure 3"),
    ]
    (note,) = caught.value.__dict__["__notes__"]
    assert note.splitlines()[0] == "with_retry: 3 attempts failed"
    assert note.splitlines()[1].startswith("  1. SimulatedConnectionFailure: failure 1; again after 0.00")
    assert note.splitlines()[3] == "  3. SimulatedConnectionFailure: failure 3"


async def test_pauses_double_and_chance_takes_up_to_half() -> None:
    async def pauses(seed: int) -> list[float]:
        with seeded(seed), pytest.raises(SimulatedConnectionFailure) as caught:
            await with_retry(Flaky(9), max_attempts=4, backoff=0.002)
        return [attempt.pause for attempt in retry_history(caught.value) if attempt.pause is not None]

    first = await pauses(1)
    for pause, most in zip(first, (0.002, 0.004, 0.008), strict=True):
        assert most / 2 <= pause <= most
    assert await pauses(1) == first
    assert await pauses(2) != first


async def test_classes_name_what_is_tried_again() -> None:
    assert await with_retry(Flaky(2, LookupError), 3, 0, retry_on=[LookupError]) == ({},)
    flaky = Flaky(2, LookupError)
    with pytest.raises(LookupError):
        await with_retry(flaky, 3, 0)
    assert flaky.calls == 1


@pytest.mark.parametrize(("name", "value"), [("max_attempts", 0), ("max_attempts", 1.5), ("backoff", -1)])
async def test_nonsense_is_refused(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"{name}={value}"):
        await with_retry(Flaky(0), **options)


async def test_a_cancelled_task_is_not_tried_again() -> None:
    calls = 0

    async def wait() -> None:
        nonlocal calls
        calls += 1
        await asyncio.Event().wait()

    task = asyncio.ensure_future(with_retry(wait, 5, 0))
    await asyncio.sleep(0)  # in its turn it comes to the event
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == 1
