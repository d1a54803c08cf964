"""Whether a process and its descendants compute or wait for a disk (only where there is /proc)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

_BUSY = "RD"
"""States of a thread that runs, is runnable or waits for a disk (proc(5))."""


class ActivityProbe:
    """Samples the activity of a process and its descendants.

    Args:
        pid: of the process.
        thread: returns the id of the only thread to sample, None before it runs. Without it, all threads of the
            process and its descendants are sampled.
    """

    def __init__(self, pid: int, thread: Callable[[], int | None] | None = None) -> None:
        self._pid, self._thread = pid, thread
        self._spent: dict[int, int] = {}

    def is_active(self) -> bool:
        """Whether a thread is busy now, or has used the processor since the last call; False without /proc."""
        spent, busy = {}, False
        for number, state, ticks in self._tasks():
            spent[number] = ticks
            busy = busy or state in _BUSY or ticks != self._spent.get(number, 0)
        self._spent = spent
        return busy

    def _tasks(self) -> Iterator[tuple[int, str, int]]:
        processes = [self._pid]
        for pid in processes:
            for task in _entries(Path(f"/proc/{pid}/task")):
                number = int(task.name)
                if self._thread is not None and number != self._thread():
                    continue
                found = _state(task)
                if found is not None:
                    yield number, *found
                if self._thread is None:
                    processes += _children(task)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # it has ended, or there is no /proc
        return []


def _state(task: Path) -> tuple[str, int] | None:
    try:
        # the name is in parentheses, and may contain some (proc(5))
        fields = (task / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (fields[0], int(fields[11]) + int(fields[12])) if len(fields) > 12 else None


def _children(task: Path) -> list[int]:
    try:
        return [int(number) for number in (task / "children").read_text(encoding="ascii").split()]
    except OSError:
        return []
