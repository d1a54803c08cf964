"""Whose is it? A run as it is written beside what it made, and whether it still lives."""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass

import psutil

_TOLERANCE = 2.0
"""Seconds by which two readings of one process's start may differ: the clock can be set in between."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its id, and the process that it is.

    Args:
        id: eight hexadecimal digits, part of the names of its databases.
        host: where it runs.
        pid: its process.
        started: when that process began, in seconds since the epoch.
    """

    id: str
    host: str
    pid: int
    started: float

    @classmethod
    def new(cls) -> Run:
        """Name a new run of this process."""
        started = psutil.Process().create_time()
        return cls(secrets.token_hex(4), socket.gethostname(), os.getpid(), started)

    def dumps(self) -> str:
        """Write it down; `loads` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Run | None:
        """Read what `dumps` wrote.

        Args:
            text: any text.

        Returns:
            The run, or None where the text is none.
        """
        try:
            values = json.loads(text)
            return cls(str(values["id"]), str(values["host"]), int(values["pid"]), float(values["started"]))
        except (ValueError, KeyError, TypeError):
            return None

    def alive(self) -> bool:
        """Say whether its process still runs here.

        Returns:
            True where a process of its number and start is on this host.
        """
        return self.host == socket.gethostname() and process_lives(self.pid, self.started)


def process_lives(pid: int, started: float) -> bool:
    """Say whether a process runs here, and is not another one that got its number.

    Args:
        pid: its number.
        started: when it began, in seconds since the epoch.

    Returns:
        False for a zombie too: it has ended.
    """
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < _TOLERANCE
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
