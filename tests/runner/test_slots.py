from __future__ import annotations

import threading
from contextlib import ExitStack

from pgchaos.runner.connection_semaphore import ConnectionSemaphore

LIMIT = 60.0
"""Seconds that nothing here may take."""


def holder(
    slots: ConnectionSemaphore, count: int, log: list[int], go: threading.Event
) -> tuple[threading.Thread, threading.Event]:
    got = threading.Event()

    def hold() -> None:
        with slots.hold(count):
            log.append(count)
            got.set()
            go.wait(LIMIT)

    thread = threading.Thread(target=hold)
    thread.start()
    return thread, got


def test_slots_are_shared_up_to_their_number() -> None:
    slots = ConnectionSemaphore(3)
    with slots.hold(1), slots.hold(2):
        assert slots._taken == 3
    assert slots._taken == 0


def test_who_asks_for_many_is_not_overtaken() -> None:
    slots, log, go = ConnectionSemaphore(3), list[int](), threading.Event()
    with ExitStack() as first:
        first.enter_context(slots.hold(2))
        many, got_many = holder(slots, 3, log, go)
        while not slots._queue:
            assert many.is_alive()
        few, _ = holder(slots, 1, log, go)
        while len(slots._queue) < 2:
            assert few.is_alive()
        assert log == []
    assert got_many.wait(LIMIT)
    go.set()
    for thread in (many, few):
        thread.join(LIMIT)
    assert log == [3, 1]


def test_more_than_there_are_means_all() -> None:
    slots = ConnectionSemaphore(2)
    with slots.hold(9):
        assert slots._taken == 2


def test_slots_come_back_after_an_error() -> None:
    slots = ConnectionSemaphore(1)
    try:
        with slots.all():
            raise ValueError
    except ValueError:
        pass
    with slots.all():
        pass
