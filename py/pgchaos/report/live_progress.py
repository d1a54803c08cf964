"""Says on the terminal how far a search has come, in one line that is written over and taken away in the end."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TextIO

from pgchaos.safe_output import one_line

_PAUSE = 0.1
"""Seconds between two lines."""
PINNING = "looking for an order of steps that replays it"
"""What is said while a free run that failed is run again, one step at a time."""
_CLEAR = "\r\x1b[K"
"""To the beginning of the line, and erase it (ECMA-48, EL)."""


class Live:
    """A line for all searches that go on.

    Args:
        terminal: where to write; None to say nothing.
    """

    def __init__(self, terminal: TextIO | None) -> None:
        self._terminal = terminal
        self._lock = threading.Lock()
        self._counts: dict[str, str] = {}
        self._said = -math.inf

    def tell(self, name: str, runs: int, limit: int) -> None:
        """Say how far one has come.

        Args:
            name: of the scenario.
            runs: that it has made.
            limit: runs at most.
        """
        self._say(f"{name} {runs}/{limit}", name, pause=_PAUSE)

    def say(self, name: str, text: str) -> None:
        """Say what is being done for one.

        Args:
            name: of the scenario.
            text: what, in a few words.
        """
        self._say(f"{name}: {text}", name)

    def _say(self, line: str, name: str, pause: float = 0.0) -> None:
        if self._terminal is None:
            return
        with self._lock:
            self._counts[name] = one_line(line)
            now = time.monotonic()
            if now - self._said >= pause:
                self._said = now
                self._write(_CLEAR + ", ".join(self._counts.values()))

    def end(self, name: str) -> None:
        """Say no more of one.

        Args:
            name: of the scenario.
        """
        with self._lock:
            if self._counts.pop(name, None) is not None and self._terminal is not None:
                self._write(_CLEAR)

    def close(self) -> None:
        """Say nothing any more."""
        with self._lock:
            terminal, self._terminal = self._terminal, None
            if terminal is not None:
                terminal.close()

    def _write(self, text: str) -> None:
        assert self._terminal is not None, "asked before"
        # a terminal that has gone is no reason for a run to fail
        with contextlib.suppress(OSError, ValueError):
            self._terminal.write(text)
            self._terminal.flush()


def live(wanted: bool) -> Live:
    """Open the line.

    Args:
        wanted: somebody looks on: then it is written to the terminal itself, past whatever is captured.

    Returns:
        It; one that says nothing where there is no terminal.
    """
    if not wanted:
        return Live(None)
    try:
        return Live(open("/dev/tty", "w", encoding="utf-8"))  # noqa: PTH123  # a device; closed by close()
    except OSError:
        return Live(None)
