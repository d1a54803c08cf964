"""Stops a private server's processes and removes its folder, also where the server's account tampered with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Any

from pgchaos.posix.disks import unmount
from pgchaos.posix.files import read_below
from pgchaos.posix.processes import children, look_up, send, working_in

MARKER = "run.json"  # in a server's folder: the run that made it; the supervisor holds a lock on it while it runs
LOG = "server.log"
READY_LIMIT = 60.0  # seconds for postgres to accept connections
STOP_LIMIT = 2.0


def remove_server(folder: str, server: subprocess.Popen[bytes] | None = None) -> None:
    """Stop the server of a folder, even if another process started it, and remove the folder."""
    data = Path(folder, "data")
    lines = read_pid_file(folder)
    stop_postmaster(data, lines, server)
    kill_processes(data)
    if server is not None:
        kill_adopted(folder)
    unmount(folder)
    if read_pid_file(folder):  # it did not end by itself
        release_shared_memory(data, lines)
    import shutil  # only here: it takes a quarter of the supervisor's start

    for _ in range(3):  # a server that is dying may still make a file in a folder being removed
        shutil.rmtree(folder, ignore_errors=True)  # what then remains is removed by the next run
        if not Path(folder).exists():
            break


def kill_processes(data: Path) -> None:
    """Kill a server's processes, and wait until they are gone."""
    limit = time.monotonic() + 10.0
    while (left := working_in(data)) and time.monotonic() < limit:
        for process in left:
            send(process, signal.SIGKILL)
        reap()
        time.sleep(0.002)  # polled: only a parent can wait for a process
    reap()


def stop_postmaster(data: Path, lines: list[str], server: subprocess.Popen[bytes] | None) -> None:
    """Shut the server down in immediate mode: a private server needs no checkpoint."""
    if server is not None and server.poll() is not None:
        return
    # the pid in the file may be reused by now, or forged by the account: its process must work in the data directory
    recorded = lines[0].strip() if lines else ""
    pid = server.pid if server is not None else int(recorded) if recorded.isdigit() else 0
    postmaster = look_up(pid) if server is not None else {one.pid: one for one in working_in(data)}.get(pid)
    if postmaster is None or not send(postmaster, signal.SIGQUIT):
        return
    limit = time.monotonic() + STOP_LIMIT
    while time.monotonic() < limit:
        if server.poll() is not None if server is not None else look_up(pid) != postmaster:
            return
        time.sleep(0.002)  # polled: it may not be our child
    send(postmaster, signal.SIGKILL)


def kill_adopted(folder: str) -> None:
    """Kill what the server's account started, such as programs of COPY: this process adopted them."""
    with contextlib.suppress(OSError):  # the data directory was not created
        user = Path(folder, "data").lstat().st_uid
        limit = time.monotonic() + STOP_LIMIT
        while left := {one for one in children(os.getpid()) if one.user == user}:
            for process in left:
                send(process, signal.SIGKILL)
            reap()
            if time.monotonic() > limit:
                return
            time.sleep(0.002)  # polled: waitpid has no limit of time


def reap() -> bool:
    """Reap the children that have ended; return whether others still run."""
    with contextlib.suppress(ChildProcessError):  # there are no more
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def read_pid_file(folder: str) -> list[str]:
    """Read postmaster.pid: pid, data directory, start, port, socket folder, address, shared memory, state."""
    try:
        return read_below(Path(folder), "data", "postmaster.pid").splitlines()
    except OSError:
        return []


def release_shared_memory(data: Path, lines: list[str]) -> None:
    """Remove the System V segment that a killed postmaster leaves; its id is the second number of line 7.

    It is removed as the account, because that may have written the id of another segment.
    """
    words = lines[6].split() if len(lines) > 6 else []
    if len(words) != 2 or not words[1].isdigit():
        return
    with contextlib.suppress(OSError):  # no such program here
        owner = data.lstat()
        if os.geteuid() and owner.st_uid == os.geteuid():
            switch: dict[str, Any] = {}
        elif owner.st_uid:
            switch = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        else:
            return
        command = ["ipcrm", "-m", words[1]]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd="/", **switch)


def open_log(path: Path) -> IO[bytes]:
    """Open the server's log for appending, readable only for the user that runs this."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))


def log_tail(path: Path, size: int = 2000) -> str:
    """Read the end of a log."""
    # there may be none yet, or it may not be readable
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - size))
        return file.read().decode(errors="replace").strip()
    return ""
