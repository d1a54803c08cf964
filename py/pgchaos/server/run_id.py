"""Identifies runs by their processes, and finds out whether a run has ended. In doubt it has not.

A host name is no identity: containers share one, and so do copies of a machine. A pid is none either: it is reused,
and each container has its own numbers. So a process is identified by the system (host name, boot, pid namespace and
time namespace), its pid, and its start by a clock that cannot be set.
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

from pgchaos.server.conninfo import Connection

if sys.platform != "linux":
    # it takes long to import, and Linux has /proc
    import psutil

_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
_DIGITS = 12
_ENDED = ("Z", "X")  # states of a process that has ended, in /proc/<pid>/stat

# Seconds by the server's clock after which a run of another system is over, if it has not renewed its record and is not
# connected. It renews it every few minutes (external_cleanup.py).
LEASE_SECONDS = 24 * 3600
# the prefix of application_name in connections that last as long as a run; in its main one, the run's id follows
APPLICATION = "pgchaos "
TEST_APPLICATION = f"{APPLICATION}test "  # the same for sessions of tests in Python
CLOCK = "SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())::bigint"
_CONNECTED = "SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = %s"


def system_id() -> str:
    """Identify the system in which this process has its pid, '' if that is unknown."""
    parts = _linux_identity() if sys.platform == "linux" else _other_identity()
    if not all(parts):
        return ""
    whole = "\n".join((socket.gethostname(), *parts))
    return hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]


def _linux_identity() -> list[str]:
    spaces = _PROC / "self/ns"
    try:
        # an older kernel has no time namespaces, and so only one clock
        time = str((spaces / "time").readlink()) if (spaces / "time").is_symlink() else "one"
        return [_BOOT.read_text(encoding="ascii").strip(), str((spaces / "pid").readlink()), time]
    except OSError:
        return [""]


def _other_identity() -> list[str]:
    # macOS
    command = ["sysctl", "-n", "kern.bootsessionuuid"]
    try:
        return [subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()]
    except OSError:
        return [""]


def start_time(pid: int) -> int:
    """Return a process's start: on Linux in clock ticks since the boot, elsewhere in seconds since the epoch; or 0."""
    return _state_and_start(pid)[1]


def has_ended(pid: int, start: int) -> bool:
    """Return whether a process of this system is known to have ended.

    Args:
        pid: its number.
        start: its start, as `start_time` gave it.

    Returns:
        True if no process has the number, a process with another start has it, or it is a zombie. False in doubt: it
        may be hidden, or belong to another user.
    """
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it exists, as another user's
    state, now = _state_and_start(pid)
    return state in _ENDED or (0 not in (now, start) and now != start)


def _state_and_start(pid: int) -> tuple[str, int]:
    """Give state and start; ('', 0) if they are unknown."""
    if sys.platform != "linux":
        try:
            process = psutil.Process(pid)
            return ("Z" if process.status() == psutil.STATUS_ZOMBIE else "R"), int(process.create_time())
        except psutil.Error:
            return "", 0
    try:
        if str((_PROC / "self").readlink()) != str(os.getpid()):
            return "", 0  # /proc belongs to another pid namespace, with other numbers
        words = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return words[0], int(words[19])
    except (OSError, IndexError, ValueError):
        return "", 0


@dataclass(frozen=True, slots=True)
class RunId:
    """A run, identified by its id and its process. Comments on what the run creates record it."""

    id: str  # eight hexadecimal digits, part of the names of its databases
    host: str
    pid: int
    system: str = ""  # from `system_id`
    start: int = 0  # from `start_time`
    renewed: int = 0  # the last sign of life, in seconds since the epoch by the server's clock; 0 for unknown

    @classmethod
    def new(cls) -> RunId:
        """Make the id of a new run of this process."""
        pid = os.getpid()
        return cls(secrets.token_hex(4), socket.gethostname(), pid, system_id(), start_time(pid))

    def at(self, now: int) -> RunId:
        """Return the same run with a sign of life at `now`, in seconds since the epoch by the server's clock."""
        return replace(self, renewed=now)

    def dumps(self) -> str:
        """Write the run as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> RunId | None:
        """Read what `dumps` wrote; None for any other text."""
        try:
            values = json.loads(text)
            return cls(
                str(values["id"]),
                str(values["host"]),
                int(values["pid"]),
                str(values.get("system", "")),
                int(values.get("start", 0)),
                int(values.get("renewed", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def is_local(self) -> bool:
        """Whether its process runs on this system."""
        return self.system != "" and self.system == system_id()

    def is_over(self, now: int) -> bool:
        """Return whether it is known to have ended, if it is not connected.

        Args:
            now: seconds since the epoch by the server's clock.

        Returns:
            For a run of this system, whether its process has ended; for another, whether its lease has expired. False
            in doubt.
        """
        if self.is_local:
            return has_ended(self.pid, self.start)
        return 0 < self.renewed < now - LEASE_SECONDS


def clock(conn: Connection) -> int:
    """Return the seconds since the epoch by the server's clock."""
    (now,) = conn.execute(CLOCK).fetchone() or (0,)
    assert isinstance(now, int)
    return now


def record(conn: Connection, run: RunId) -> str:
    """Write the record of a run with a sign of life now, for a comment on what it creates."""
    return run.at(clock(conn)).dumps()


def is_over(conn: Connection, run: RunId) -> bool:
    """Return whether a run is known to have ended: it is not connected, and `RunId.is_over`."""
    connected = conn.execute(_CONNECTED, [APPLICATION + run.id]).fetchone() is not None
    return not connected and run.is_over(clock(conn))
