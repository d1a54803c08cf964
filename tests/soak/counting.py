"""What a process holds: counted before and after, so that what was left shows."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from pgchaos.server.server_folder import parent_folders


@dataclass(frozen=True, slots=True)
class Count:
    """What this process and its children hold.

    Args:
        files: open file descriptors.
        threads: of Python.
        processes: below this one; those that a server makes for itself come and go, and do not count.
        folders: temporary ones of ours, on this machine, that this process made.
        memory: in MB, resident.
    """

    files: int
    threads: int
    processes: int
    folders: int
    memory: float

    def __str__(self) -> str:
        return (
            f"{self.files} files open, {self.threads} threads, {self.processes} processes, {self.folders} folders, "
            f"{self.memory:.1f} MB"
        )

    def grown(self, before: Count) -> list[str]:
        """Name what is more than it was; memory, which Python keeps as it likes, is not among it.

        Args:
            before: an earlier count.
        """
        names = ("files", "threads", "processes", "folders")
        return [name for name in names if getattr(self, name) > getattr(before, name)]


def count() -> Count:
    """Count what this process holds now."""
    process = psutil.Process()
    mine = f"pgchaos-*-{process.pid}-*"
    folders = [path for parent in {*parent_folders(), "/dev/shm"} for path in Path(parent).glob(mine)]
    return Count(
        process.num_fds(),
        threading.active_count(),
        sum(not _of_a_server(child) for child in process.children(recursive=True)),
        len(folders),
        process.memory_info().rss / 1e6,
    )


def settled(before: Count, limit: float = 60.0) -> Count:
    """Count when what is ending has ended: the processes of a server that was just killed.

    Args:
        before: an earlier count.
        limit: seconds to wait until nothing is more than it was.
    """
    until = time.monotonic() + limit
    while (now := count()).grown(before) and time.monotonic() < until:
        time.sleep(0.01)  # polled: processes go without a word
    return now


def _of_a_server(process: psutil.Process) -> bool:
    """Say whether a process is the child of a postmaster."""
    try:
        parent = process.parent()
        return parent is not None and parent.name() == "postgres"
    except psutil.NoSuchProcess:
        return True
