"""Small file systems in memory: disks that a fault can fill. Only root can mount one.

They are mounted in a folder that only root can write. In a folder of the server's account, the account could put a
link in place of the mount point.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path
from typing import Any

WAL = "wal"  # the folder beside the data directory for a WAL with a file system of its own


def mount(place: Path, size: int, account: dict[str, Any]) -> str:
    """Mount a small file system.

    Args:
        place: a new folder, in one that only root can write.
        size: bytes.
        account: its owner, as subprocess.Popen takes it.

    Returns:
        The error, or ''.
    """
    place.mkdir(mode=0o700)
    options = f"nosuid,nodev,size={size},mode=0700"
    if account:
        options += f",uid={account['user']},gid={account['group']}"
    command = ["mount", "-t", "tmpfs", "-o", options, "pgchaos", str(place)]
    return _run(command, {})


def move_wal(data: Path, place: Path, switch: dict[str, Any]) -> str:
    """Move a server's WAL elsewhere, with a link in its place, as the server's account.

    Args:
        data: the data directory.
        place: the new folder.
        switch: arguments of subprocess.run that switch to the account.

    Returns:
        The error, or ''.
    """
    script = 'cp -a "$1/." "$2" && rm -rf "$1" && ln -s "$2" "$1"'
    return _run(["sh", "-c", script, "sh", str(data / "pg_wal"), str(place)], switch)


def _run(command: list[str], switch: dict[str, Any]) -> str:
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False, **switch)
    return f"{command[0]}: {done.stderr.strip()}" if done.returncode else ""


def unmount(folder: str) -> None:
    """Unmount the file systems below a folder, the last first."""
    if os.geteuid():
        return
    with contextlib.suppress(OSError):  # where there is no /proc nothing was mounted
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
        for line in reversed(mounts):
            place = line.split(" ")[1]
            if place.startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", place], capture_output=True, check=False)


def _write_all(file: int, size: int) -> None:
    """Write blocks of a size until there is no room for one."""
    try:
        # a short write is followed by ENOSPC
        while os.write(file, b"\0" * size) == size:
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


class Ballast:
    """Unnamed files that fill a disk: in a folder of another account, a name may be a link."""

    def __init__(self) -> None:
        self._files: list[int] = []

    def fill(self, place: Path) -> None:
        """Fill a disk.

        Args:
            place: a mounted file system, in a folder that only root can write.

        Raises:
            OSError: nothing is mounted there, and the common disk would be filled; or the system refuses to fill it.
        """
        file = os.open(place, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        if os.fstat(file).st_dev == place.parent.stat().st_dev:
            os.close(file)
            raise OSError(errno.ENODEV, "not filled, because no file system of its own is mounted here", str(place))
        self._files.append(file)
        for size in (1 << 20, 4096):
            _write_all(file, size)

    def empty(self) -> None:
        """Free the space again; a second call does nothing."""
        files, self._files = self._files, []
        for file in files:
            # a process that is just being started may hold the file too: truncating frees the space at once
            os.truncate(file, 0)
            os.close(file)
