"""The folders of private servers: where they are made, and how those of dead runs are removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from pgchaos.posix.files import untrusted
from pgchaos.posix.postmaster import MARKER, remove_server
from pgchaos.server.binaries import Account
from pgchaos.server.run_id import RunId, has_ended, system_id
from pgchaos.server.settings import ServerError

_SOCKET_LIMIT = 107  # bytes of a socket's path (sun_path of unix(7), without its final zero)

DATA = "data"
SOCKET = "socket"
_SOCKET = f"{SOCKET}/.s.PGSQL.5432"
_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30
_SPARE = 4 << 30


def parent_folders() -> Iterator[str]:
    """List the folders that a private server's may lie in, best first.

    A database is some 300 files. On ext4, which does not use a deleted file's inode again for half a minute, making
    and dropping databases all the time was measured to slow down from 17 to 340 ms a database; in memory it is 10 ms.

    Yields:
        Folders that exist.
    """
    if "TMPDIR" not in os.environ and _MEMORY.is_dir():
        yield str(_MEMORY)
    yield from dict.fromkeys((tempfile.gettempdir(), "/tmp"))


def has_room(parent: str) -> bool:
    """Say whether a server may fill this place: memory only where there is much of it to spare."""
    if parent != str(_MEMORY):
        return True
    return shutil.disk_usage(parent).free >= _ROOM and psutil.virtual_memory().available >= _SPARE


def make_folder(who: Account, programs: bool = False) -> Path:
    """Make the folder of a private server, marked as this process's.

    It belongs to whoever runs this, so that the server's account cannot put links in place of what lies there. The
    account owns two folders in it: `data`, and `socket`.
    """
    for parent in parent_folders():
        prefix = f"pgchaos-{os.geteuid()}-{os.getpid()}-"
        # mkdtemp adds eight characters
        too_long = len(os.fsencode(parent)) + len(prefix) + 10 + len(_SOCKET) > _SOCKET_LIMIT
        barred = programs and os.statvfs(parent).f_flag & os.ST_NOEXEC
        if too_long or barred or not has_room(parent) or not os.access(parent, os.W_OK | os.X_OK):
            continue
        if not _open_to(parent, who) or _replaceable(parent, who):
            continue
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            # there at once with all that it says: who looks for dead servers takes an empty one for a dead run's
            unnamed = folder / f"{MARKER}.new"
            unnamed.write_text(RunId.new().dumps(), encoding="utf-8")
            unnamed.replace(folder / MARKER)
            for name in (DATA, SOCKET):
                (folder / name).mkdir(mode=0o700)
                if who.switch:
                    os.chown(folder / name, who.uid, who.gid)
            if who.switch:
                os.chown(folder, -1, who.gid)
                folder.chmod(0o710)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder
    raise ServerError(
        f"no place for a private server: neither {tempfile.gettempdir()} nor /tmp can be written, is open to the "
        f"server's user, belongs to root or has the sticky bit, and is short enough for a socket; set TMPDIR"
    )


def _open_to(parent: str, who: Account) -> bool:
    """Say whether an account can pass through all folders on the way."""
    if not who.switch:
        return True
    path = Path(parent).resolve()
    for folder in (path, *path.parents):
        state = folder.stat()
        groups = (who.gid, *who.groups)
        bit = 0o100 if state.st_uid == who.uid else 0o010 if state.st_gid in groups else 0o001
        if not state.st_mode & bit:
            return False
    return True


def _replaceable(parent: str, who: Account) -> bool:
    """Say whether others than root could put another folder in place of one that is made here."""
    return who.switch and untrusted(Path(parent, "server"), frozenset({0, os.geteuid()})) != ""


_NAME = re.compile(r"pgchaos-(\d+)-(\d+)-\w+")


def remove_dead_servers() -> list[Path]:
    """Stop and remove the private servers of runs that are over.

    Only folders of this user are touched, none whose marker is locked by a supervisor, and none whose run still lives.
    As root too: one that belongs to the servers' account was not made by root, whatever its name says.
    """
    removed = []
    for parent in {*parent_folders(), "/dev/shm"}:
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
