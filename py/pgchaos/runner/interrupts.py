"""Handles Ctrl-C and SIGTERM: the first ends the run cleanly, further ones do not interrupt the clean-up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Seconds after the first signal in which others are ignored, while the clean-up runs. After that a signal ends the
# process at once: the supervisor then removes what the run created.
_CLEANUP_TIME = 30.0

# Python's own handlers are replaced; other handlers stay.
_DEFAULT_HANDLERS: dict[signal.Signals, signal._HANDLER] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


class Interrupts:
    """Signal handlers that let a run end cleanly; `exit_now` ends the process at once, with an exit code."""

    def __init__(self, exit_now: Callable[[int], object] = os._exit) -> None:
        self._exit_now = exit_now
        self._first_at: float | None = None
        self._ends = False
        self._delays = False
        self._installed: list[signal.Signals] = []

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at the first signal, and ignore further ones, also after the context."""
        self.check()
        self._install()
        try:
            yield
        finally:
            if self._first_at is None:
                self.restore()

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Delay the KeyboardInterrupt of a signal to the end of the context.

        For imports: an interrupted one leaves modules that fail when they are imported again (hypothesis).
        """
        self._delays = True
        try:
            yield
        finally:
            self._delays = False
        self.check()

    def check(self) -> None:
        """In the main thread, raise KeyboardInterrupt again if it was lost.

        Python ignores the exceptions of finalizers and of callbacks of the garbage collector, such as hypothesis's.
        """
        lost = self._first_at is not None and not self._ends
        if lost and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Ignore signals from now on: the run was interrupted, and cleans up."""
        self._ends = True
        if self._first_at is None:
            self._first_at = time.monotonic()
        self._install()

    def restore(self, *, at_exit: bool = False) -> None:
        """Restore Python's handlers; `at_exit`, signals stay ignored after an interrupt, to print no traceback."""
        for number in self._installed:
            ignored = at_exit and self._first_at is not None
            signal.signal(number, signal.SIG_IGN if ignored else _DEFAULT_HANDLERS[number])
        self._installed.clear()
        self._first_at, self._ends = None, False

    def _install(self) -> None:
        # only the main thread can set handlers
        if threading.current_thread() is not threading.main_thread():
            return
        for number, default in _DEFAULT_HANDLERS.items():
            if number not in self._installed and signal.getsignal(number) == default:
                signal.signal(number, self._handle)
                self._installed.append(number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
            if not self._delays:
                raise KeyboardInterrupt
        elif now - self._first_at > _CLEANUP_TIME:
            self._exit_now(128 + number)
