"""Ctrl-C and SIGTERM while scenarios run: the first ends the run in order, and further ones do not disturb that."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_PATIENCE = 30.0
"""Seconds after the first signal in which others are ignored: what the run made is being removed. Then one ends the
process at once, and what it made is removed by the processes that watch over it."""
_SIGNALS: dict[signal.Signals, signal._HANDLER] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
"""The signals, and the handlers of Python in whose place ours are put; those of others stay."""


class Interrupts:
    """Handles the signals of a user who wants a run to end.

    Args:
        end: ends the process at once, with an exit code.
    """

    def __init__(self, end: Callable[[int], object] = os._exit) -> None:
        self._end = end
        self._first: float | None = None
        self._taken: list[signal.Signals] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Have the first signal raise KeyboardInterrupt, and ignore others, after the block too."""
        self._take()
        try:
            yield
        finally:
            if self._first is None:
                self.give_back()

    def ignore(self) -> None:
        """Ignore signals from now on: the user has interrupted the run already, and what it made is being removed."""
        if self._first is None:
            self._first = time.monotonic()
        self._take()

    def give_back(self, *, over: bool = False) -> None:
        """Put Python's handlers back.

        Args:
            over: nothing but the end of the process follows, which a late signal should not fill with a traceback.
        """
        for number in self._taken:
            late = over and self._first is not None
            signal.signal(number, signal.SIG_IGN if late else _SIGNALS[number])
        self._taken.clear()
        self._first = None

    def _take(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, usual in _SIGNALS.items():
            if number not in self._taken and signal.getsignal(number) == usual:
                signal.signal(number, self._handle)
                self._taken.append(number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            raise KeyboardInterrupt
        if now - self._first > _PATIENCE:
            self._end(128 + number)
