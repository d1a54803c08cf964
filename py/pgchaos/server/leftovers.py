"""What dead runs left in the temporary folder: servers whose supervisor was killed too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from pathlib import Path

from pgchaos.posix.postmaster import MARKER, remove_server
from pgchaos.server.processes import has_ended, system_id
from pgchaos.server.run_id import RunId
from pgchaos.server.server_folder import parents

_NAME = re.compile(r"pgchaos-(\d+)-(\d+)-\w+")


def remove_dead_servers() -> list[Path]:
    """Stop and remove the private servers of runs that are over.

    Only folders of this user are touched, none whose marker is locked by a supervisor, and none whose run still lives.
    As root too: one that belongs to the servers' account was not made by root, whatever its name says.
    """
    removed = []
    for parent in {*parents(), "/dev/shm"}:
        with contextlib.suppress(OSError):  # no such folder here, or none of ours to read
            for folder in Path(parent).iterdir():
                if _NAME.fullmatch(folder.name) and _ours(folder) and _dead(folder):
                    remove_server(str(folder))
                    removed.append(folder)
    return removed


def _ours(folder: Path) -> bool:
    match = _NAME.fullmatch(folder.name)
    try:
        state = folder.lstat()
    except OSError:
        return False
    mine = state.st_uid == os.geteuid()
    return match is not None and int(match[1]) == os.geteuid() and stat.S_ISDIR(state.st_mode) and mine


def _dead(folder: Path) -> bool:
    """Judge by the lock, which holds in other containers too, then by the process where this system counts it."""
    try:
        file = os.open(folder / MARKER, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        # killed between making the folder and marking it: nothing but the number is known
        match = _NAME.fullmatch(folder.name)
        return match is not None and has_ended(int(match[2]), 0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run = RunId.loads(os.read(file, 4096).decode(errors="replace"))
    except OSError:
        return False
    finally:
        os.close(file)
    return run is None or run.system != system_id() or has_ended(run.pid, run.start)
