"""A thread's end is known, also to who was interrupted while waiting for it."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import pytest

from pgchaos.engine.worker import Worker
from tests.waiting import stands_waiting, until


def test_an_interrupted_wait_does_not_take_it_for_ended() -> None:
    def interrupt(_: int, __: FrameType | None) -> None:
        if not struck.is_set():
            struck.set()
            raise KeyboardInterrupt

    def wait() -> None:
        go.wait(120)

    def alarm() -> None:
        assert ready.wait(60)
        until(lambda: stands_waiting(main), "the main thread waits")
        # a signal that comes just before the wait itself is looked at only after it
        until(strikes, "the wait is interrupted")

    def strikes() -> bool:
        signal.pthread_kill(main, signal.SIGALRM)
        return struck.wait(0.1)

    go, ready, struck, main = threading.Event(), threading.Event(), threading.Event(), threading.get_ident()
    worker, alarming = Worker(wait, "waits"), threading.Thread(target=alarm)
    worker.start()
    alarming.start()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        ready.set()
        with pytest.raises(KeyboardInterrupt):
            worker.ends(120)
    finally:
        alarming.join(60)
        signal.signal(signal.SIGALRM, before)
    assert worker.alive
    assert not worker.ends(0)
    go.set()
    assert worker.ends(60)
    go.set()
    assert worker.ends(30)
    assert not worker.alive


def test_what_has_not_begun_is_not_waited_for() -> None:
    worker = Worker(lambda: None, "nothing")
    assert worker.ends()
    assert not worker.alive


def test_it_has_ended_when_its_work_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    worker = Worker(fail, "fails")
    worker.start()
    assert worker.ends(30)
