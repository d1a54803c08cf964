"""How far items have run: the line on the terminal, and the summary after an interrupt."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from pgchaos.safe_output import one_line
from pgchaos.schedule.token import Token

if TYPE_CHECKING:
    from pgchaos.results import RunResult

_LONGEST_TOKEN = 200  # characters of a token within a line
_INTERVAL = 0.1  # seconds between two updates of the line
_CLEAR = "\r\x1b[K"  # to the beginning of the line, and erase it (ECMA-48, EL)

# shown while a free run that failed is run again, one step at a time
REPRODUCING = "looking for an order of steps that replays it"


@dataclass(slots=True)
class ItemProgress:
    """The runs of one item so far."""

    item: str
    fingerprint: str  # of its tokens
    interleavings: bool  # a run is one interleaving of a search
    has_failed: Callable[[RunResult], bool]  # in a way that is not an expected failure
    runs: int = 0
    limit: int = 0  # runs at most
    failed: int = 0
    first_failed: RunResult | None = None

    def add(self, result: RunResult, limit: int) -> None:
        """Count a run that has ended, and update the number of runs at most."""
        self.runs += 1
        self.limit = limit
        if self.has_failed(result):
            self.failed += 1
            self.first_failed = self.first_failed or result

    def summary(self, seed: int) -> str:
        """Say in one line that the item was stopped, what was known by then, and the token of the first failure."""
        first = self.first_failed
        reason = f" ({first.failures[0].text})" if first is not None and first.failures else ""
        failed = f"{self.failed} failed{reason}" if self.failed else "none failed"
        unit = "interleavings" if self.interleavings else "runs"
        if self.limit > 1:
            state = f"stopped after {self.runs} of {self.limit} {unit}, {failed}"
        elif self.failed:
            state = f"stopped after it failed{reason}"
        else:
            state = "stopped in its first run"
        return f"{self.item}: {state}, seed {seed}{self._token(seed)}"

    def _token(self, seed: int) -> str:
        first = self.first_failed
        if first is None or first.decisions is None:
            return ""
        token = str(Token(self.fingerprint, seed, first.decisions, first.values))
        return f", --chaos-replay={token}" if len(token) <= _LONGEST_TOKEN else ""


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
