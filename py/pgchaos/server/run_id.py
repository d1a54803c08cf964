"""Which system this is, and whether a process of it has ended: what is not certain counts as running.

A host name is no identity: containers share one, and so do copies of a machine. A pid is none either: it is given out
again, and each container counts its own. So a process is named by the system (host name, boot, pid namespace and time
namespace), its pid, and its start by a clock that nobody can set.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from pgchaos.server.conninfo import Connection

_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
_DIGITS = 12
_ENDED = ("Z", "X")
"""States of a process that has ended, in /proc/<pid>/stat."""


def system_id() -> str:
    """Name the system that pids of this process count in."""
    parts = _linux() if sys.platform == "linux" else _other()
    if not all(parts):
        return ""
    whole = "\n".join((socket.gethostname(), *parts))
    return hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]


def _linux() -> list[str]:
    spaces = _PROC / "self/ns"
    try:
        # an older kernel has no time namespaces, and then there is only one time
        time = str((spaces / "time").readlink()) if (spaces / "time").is_symlink() else "one"
        return [_BOOT.read_text(encoding="ascii").strip(), str((spaces / "pid").readlink()), time]
    except OSError:
        return [""]


def _other() -> list[str]:
    # macOS
    command = ["sysctl", "-n", "kern.bootsessionuuid"]
    try:
        return [subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()]
    except OSError:
        return [""]


def start_time(pid: int) -> int:
    """Tell when a process began: on Linux in clock ticks since the boot, elsewhere in seconds since the epoch."""
    return _look(pid)[1]


def has_ended(pid: int, start: int) -> bool:
    """Say whether a process of this system is known to have ended.

    Args:
        pid: its number.
        start: what `start_of` said of it.

    Returns:
        True where no process has the number, or one that began at another time has it, or it is a zombie. False where
        that is not certain: it may be hidden, or another user's.
    """
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    state, now = _look(pid)
    return state in _ENDED or (0 not in (now, start) and now != start)


def _look(pid: int) -> tuple[str, int]:
    """State and start; ('', 0) where they cannot be told."""
    if sys.platform != "linux":
        try:
            process = psutil.Process(pid)
            return ("Z" if process.status() == psutil.STATUS_ZOMBIE else "R"), int(process.create_time())
        except psutil.Error:
            return "", 0
    try:
        if str((_PROC / "self").readlink()) != str(os.getpid()):
            return "", 0  # /proc is of another pid namespace: its numbers are not ours
        words = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return words[0], int(words[19])
    except (OSError, IndexError, ValueError):
        return "", 0


LEASE_SECONDS = 24 * 3600
"""Seconds by the server's clock after which a run that this system cannot look at is taken for over, where it has
neither renewed its record nor is connected. It renews it every few minutes (lease.py)."""


@dataclass(frozen=True, slots=True)
class RunId:
    """A run: its id, and the process that it is.

    Args:
        id: eight hexadecimal digits, part of the names of its databases.
        host: where it runs.
        pid: its process.
        started: when that process began, in seconds since the epoch; only earlier versions read it, for the clock can
            be set.
        system: that the pid counts in, as `processes.system_id` names it; '' for unknown.
        start: when the process began, as `processes.start_of` says it; 0 for unknown.
        renewed: when it last said that it lives, in seconds since the epoch by the server's clock; 0 for unknown.
    """

    id: str
    host: str
    pid: int
    started: float
    system: str = ""
    start: int = 0
    renewed: int = 0

    @classmethod
    def new(cls) -> RunId:
        """Name a new run of this process."""
        pid = os.getpid()
        started = psutil.Process().create_time()
        return cls(secrets.token_hex(4), socket.gethostname(), pid, started, system_id(), start_time(pid))

    def at(self, now: int) -> RunId:
        """Renew it.

        Args:
            now: seconds since the epoch by the server's clock.

        Returns:
            The same run, which said just then that it lives.
        """
        return replace(self, renewed=now)

    def dumps(self) -> str:
        """Write it down; `loads` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> RunId | None:
        """Read what `dumps` wrote, in this version or an earlier one.

        Args:
            text: any text.

        Returns:
            The run, or None where the text is none.
        """
        try:
            values = json.loads(text)
            return cls(
                str(values["id"]),
                str(values["host"]),
                int(values["pid"]),
                float(values["started"]),
                str(values.get("system", "")),
                int(values.get("start", 0)),
                int(values.get("renewed", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def visible(self) -> bool:
        """Whether this system can tell if its process runs."""
        return self.system != "" and self.system == system_id()

    def is_over(self, now: int) -> bool:
        """Say whether it is known to be over. That it is not connected must be known beside.

        Args:
            now: seconds since the epoch by the server's clock.

        Returns:
            Of a run of this system, whether its process has ended. Of another, whether it has not renewed its record
            for the time of the lease. False where that is not certain.
        """
        if self.visible:
            return has_ended(self.pid, self.start)
        return 0 < self.renewed < now - LEASE_SECONDS


APPLICATION = "pgchaos "
"""Begins the application_name of connections that last as long as a run; its main one's ends with its id."""

CLOCK = "SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())::bigint"
_CONNECTED = "SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = %s"


def clock(conn: Connection) -> int:
    """Ask a server for the time.

    Args:
        conn: to it.

    Returns:
        Seconds since the epoch by its clock.
    """
    (now,) = conn.execute(CLOCK).fetchone() or (0,)
    assert isinstance(now, int)
    return now


def record(conn: Connection, run: RunId) -> str:
    """Write a run down as it lives now, for a comment on what it made.

    Args:
        conn: to the server.
        run: that makes it.

    Returns:
        What `Run.loads` reads.
    """
    return run.at(clock(conn)).dumps()


def is_over(conn: Connection, run: RunId) -> bool:
    """Say whether a run is known to be over.

    Args:
        conn: to the server.
        run: as its record says.

    Returns:
        False where it is connected, or its end is not certain.
    """
    connected = conn.execute(_CONNECTED, [APPLICATION + run.id]).fetchone() is not None
    return not connected and run.is_over(clock(conn))
