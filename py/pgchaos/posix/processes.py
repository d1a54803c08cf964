"""Identifies processes by number and start time: the number alone may belong to another process by now."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """One process, distinct from later ones with the same number."""

    pid: int
    started: str  # the start time, as the system writes it
    user: int  # the real user id
    parent: int  # the parent's pid


def look_up(pid: int) -> Process | None:
    """Find a process by its number; None where it has ended or is a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if _has_proc() else _ask_ps(pid)
    # the name is in parentheses, and may contain some (proc(5))
    fields = state.rpartition(")")[2].split()
    users = next((line.split()[1] for line in status.splitlines() if line.startswith("Uid:")), None)
    if len(fields) < 20 or users is None or fields[0] in "ZX":
        return None
    return Process(pid, fields[19], int(users), int(fields[1]))


def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


def _ask_ps(pid: int) -> Process | None:
    command = ["ps", "-p", str(pid), "-o", "ruid=,ppid=,state=,lstart="]
    words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split(None, 3)
    if len(words) < 4 or words[2].startswith("Z"):
        return None
    return Process(pid, words[3].strip(), int(words[0]), int(words[1]))


def send(process: Process, number: int) -> bool:
    """Send a signal to a process, never to a later one with its number; False where the process has ended."""
    handle = _open(process.pid)
    try:
        # open first, then look up: the handle cannot change to a later process with this number
        now = look_up(process.pid)
        if now is None or (now.started, now.user) != (process.started, process.user):
            return False
        if handle is None:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def _open(pid: int) -> int | None:
    """Open a process; None where the kernel cannot (before Linux 5.3, other systems), or the process has ended."""
    if not hasattr(os, "pidfd_open"):
        return None
    with contextlib.suppress(OSError):  # it has ended, or the kernel is too old
        return os.pidfd_open(pid)
    return None


def working_in(folder: Path) -> set[Process]:
    """Find the processes that work in a folder and belong to its owner (only where there is /proc).

    As root, none are found for a folder of root's: a server never runs as root.
    """
    found: set[Process] = set()
    with contextlib.suppress(OSError):  # the folder is gone, and so are its processes
        wanted = folder.lstat()
        if os.geteuid() == 0 and wanted.st_uid == 0:
            return found
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                if os.path.samestat((entry / "cwd").stat(), wanted):
                    process = look_up(int(entry.name))
                    if process is not None and process.user == wanted.st_uid:
                        found.add(process)
    return found


def children(pid: int) -> set[Process]:
    """Find the children of a process that has one thread."""
    try:
        numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN, or no /proc
        numbers = _ask_ps_for_children(pid)
    found = (look_up(int(number)) for number in numbers)
    return {process for process in found if process is not None and process.parent == pid}


def _ask_ps_for_children(pid: int) -> list[str]:
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    return [line.split()[0] for line in table.splitlines() if line.split()[1:] == [str(pid)]]
