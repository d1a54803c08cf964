"""How far items have run: the line on the terminal."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TextIO

from pgchaos.safe_output import one_line

_INTERVAL = 0.1  # seconds between two updates of the line
_CLEAR = "\r\x1b[K"  # to the beginning of the line, and erase it (ECMA-48, EL)

# shown while a free run that failed is run again, one step at a time
REPRODUCING = "looking for an order of steps that replays it"


class ProgressLine:
    """One line for all searches that run, overwritten at each update and erased in the end.

    Args:
        terminal: to write to; None to write nothing.
    """

    def __init__(self, terminal: TextIO | None) -> None:
        self._terminal = terminal
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        self._updated_at = -math.inf

    def show_count(self, name: str, runs: int, limit: int) -> None:
        """Show how many of its runs a scenario has made; updates that come too fast are left out."""
        self._show(f"{name} {runs}/{limit}", name, interval=_INTERVAL)

    def show_activity(self, name: str, text: str) -> None:
        """Show at once, in a few words, what is done for a scenario."""
        self._show(f"{name}: {text}", name)

    def _show(self, text: str, name: str, interval: float = 0.0) -> None:
        if self._terminal is None:
            return
        with self._lock:
            self._texts[name] = one_line(text)
            now = time.monotonic()
            if now - self._updated_at >= interval:
                self._updated_at = now
                self._write(_CLEAR + ", ".join(self._texts.values()))

    def remove(self, name: str) -> None:
        """Erase the line, which no longer shows this scenario from the next update on."""
        with self._lock:
            if self._texts.pop(name, None) is not None and self._terminal is not None:
                self._write(_CLEAR)

    def close(self) -> None:
        """Close the terminal; later calls write nothing."""
        with self._lock:
            terminal, self._terminal = self._terminal, None
            if terminal is not None:
                terminal.close()

    def _write(self, text: str) -> None:
        assert self._terminal is not None, "the callers check"
        # a terminal that was closed must not fail the run
        with contextlib.suppress(OSError, ValueError):
            self._terminal.write(text)
            self._terminal.flush()


def open_progress_line(wanted: bool) -> ProgressLine:
    """Open the line on the terminal itself, past pytest's capture; where there is no terminal it writes nothing."""
    if not wanted:
        return ProgressLine(None)
    try:
        return ProgressLine(open("/dev/tty", "w", encoding="utf-8"))  # noqa: PTH123  # a device; closed by close()
    except OSError:
        return ProgressLine(None)
