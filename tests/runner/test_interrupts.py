"""The handlers of SIGINT and SIGTERM."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from pgchaos.runner.executor import JobExecutor
from pgchaos.runner.interrupts import Interrupts


def test_later_signals_are_ignored_for_a_while_and_then_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    interrupts, usual = Interrupts(codes.append), signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts.handled():
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert codes == []
        monkeypatch.setattr("pgchaos.runner.interrupts._CLEANUP_TIME", -1.0)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert codes == [128 + signal.SIGTERM, 128 + signal.SIGINT]
    finally:
        interrupts.restore()
    assert signal.getsignal(signal.SIGINT) == usual == signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


class Swallows:
    """Python drops what its finalizer raises."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the interrupt in __del__
def test_an_interrupt_that_was_lost_ends_the_wait_for_a_result_or_the_next_item() -> None:
    interrupts, go = Interrupts(), threading.Event()
    executor: JobExecutor[str, bool] = JobExecutor(lambda _: go.wait(60), 1)
    executor.start({"one": ""})
    try:
        with interrupts.handled():
            Swallows()
            # who ends the run in order is not disturbed
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                executor.result_of("one", "", interrupts.check)
        with pytest.raises(KeyboardInterrupt), interrupts.handled():
            pytest.fail("another item began")
        interrupts.ignore()
        interrupts.check()
    finally:
        go.set()
        executor.close()
        interrupts.restore()


def test_handlers_of_others_stay_and_ours_are_removed_after_a_run() -> None:
    interrupts = Interrupts()
    with interrupts.handled():
        assert signal.getsignal(signal.SIGINT) != signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.handled():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
