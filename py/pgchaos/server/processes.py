"""Which system this is, and whether a process of it has ended: what is not certain counts as running.

A host name is no identity: containers share one, and so do copies of a machine. A pid is none either: it is given out
again, and each container counts its own. So a process is named by the system (host name, boot, pid namespace and time
namespace), its pid, and its start by a clock that nobody can set.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil

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


def start_of(pid: int) -> int:
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
