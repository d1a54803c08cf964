from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from pgchaos.runner.executor import ConnectionSemaphore

LIMIT = 60.0
"""Seconds that nothing here may take."""


def holder(
    connections: ConnectionSemaphore, count: int, log: list[int], go: threading.Event
) -> tuple[threading.Thread, threading.Event]:
    got = threading.Event()

    def hold() -> None:
        with connections.acquire(count):
            log.append(count)
            got.set()
            go.wait(LIMIT)

    thread = threading.Thread(target=hold)
    thread.start()
    return thread, got


def test_connections_are_shared_up_to_their_number() -> None:
    connections = ConnectionSemaphore(3)
    with connections.acquire(1), connections.acquire(2):
        assert connections._used == 3
    assert connections._used == 0


def test_a_request_for_many_is_not_overtaken() -> None:
    connections, log, go = ConnectionSemaphore(3), list[int](), threading.Event()
    with ExitStack() as first:
        first.enter_context(connections.acquire(2))
        many, got_many = holder(connections, 3, log, go)
        while not connections._queue:
            assert many.is_alive()
        few, _ = holder(connections, 1, log, go)
        while len(connections._queue) < 2:
            assert few.is_alive()
        assert log == []
    assert got_many.wait(LIMIT)
    go.set()
    for thread in (many, few):
        thread.join(LIMIT)
    assert log == [3, 1]


def test_more_than_there_are_means_all() -> None:
    connections = ConnectionSemaphore(2)
    with connections.acquire(9):
        assert connections._used == 2


def test_connections_are_released_after_an_error() -> None:
    connections = ConnectionSemaphore(1)
    with pytest.raises(ValueError, match="the work failed"), connections.acquire_all():
        raise ValueError("the work failed")
    with connections.acquire_all():
        pass
