"""The progress line on the terminal."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from typing import TextIO

from pgchaos.safe_output import one_line

_AFTER = 2.0  # seconds after which an item is shown
_INTERVAL = 0.5  # seconds between two updates of the line
_CLEAR = "\r\x1b[K"  # to the beginning of the line, and erase it (ECMA-48, EL)
_WIDTH = 80  # columns, if the terminal's width is unknown

# shown while a free run that failed is run again, one step at a time
REPRODUCING = "looking for an order of steps that replays it"


@dataclass(slots=True)
class _Item:
    """What an item is doing."""

    begun: float  # on time.monotonic()
    text: str = "running"


class ProgressLine:
    """One line for all long-running items, overwritten at each update and erased at the end."""

    def __init__(self, terminal: TextIO | None) -> None:
        self._terminal = terminal
        self._lock = threading.Lock()
        self._items: dict[str, _Item] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_shown = False

    def begin(self, name: str) -> None:
        """Record that an item begins; after some seconds the line shows it."""
        with self._lock:
            if self._terminal is None:
                return
            self._items[name] = _Item(time.monotonic())
            if self._thread is None:
                # only with a terminal; the thread ends with the line
                self._thread = threading.Thread(target=self._update_often, name="progress line", daemon=True)
                self._thread.start()

    def show(self, name: str, text: str) -> None:
        """Describe in a few words what an item is doing."""
        item = self._items.get(name)
        if item is not None:
            item.text = one_line(text)

    def remove(self, name: str) -> None:
        """Erase the line; the next update shows the remaining items."""
        with self._lock:
            if self._items.pop(name, None) is not None and self._is_shown:
                self._write(_CLEAR)
                self._is_shown = False

    def close(self) -> None:
        """Close the terminal; later calls write nothing."""
        self._closing.set()
        with self._lock:
            terminal, self._terminal = self._terminal, None
            if terminal is not None:
                terminal.close()

    def update(self) -> None:
        """Write the line, if an item takes long."""
        with self._lock:
            now = time.monotonic()
            long = [(item.begun, name, item) for name, item in self._items.items() if now - item.begun >= _AFTER]
            if long and self._terminal is not None:
                texts = (f"{one_line(name)}: {item.text}, {now - begun:.0f} s" for begun, name, item in sorted(long))
                # a wrapped line could not be erased
                self._write(_CLEAR + shorten("; ".join(texts), self._width() - 1))
                self._is_shown = True

    def _update_often(self) -> None:
        while not self._closing.wait(_INTERVAL):
            self.update()

    def _width(self) -> int:
        try:
            assert self._terminal is not None, "the caller checks"
            return os.get_terminal_size(self._terminal.fileno()).columns or _WIDTH
        except (OSError, ValueError):
            return _WIDTH

    def _write(self, text: str) -> None:
        # a terminal that was closed must not fail the run
        with contextlib.suppress(OSError, ValueError):
            if self._terminal is not None:
                self._terminal.write(text)
                self._terminal.flush()


def shorten(text: str, width: int) -> str:
    """Cut a text at the end."""
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."


def open_progress_line(wanted: bool) -> ProgressLine:
    """Open the line on the terminal itself, past pytest's capture; without a terminal it writes nothing."""
    if not wanted:
        return ProgressLine(None)
    try:
        return ProgressLine(open("/dev/tty", "w", encoding="utf-8"))  # noqa: PTH123  # a device; closed by close()
    except OSError:
        return ProgressLine(None)
