"""Creates the folders of private servers, and removes those of dead runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

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

_NEW = 60.0
"""Seconds after which the supervisor of a server has locked its folder."""
_NAME = re.compile(r"pgchaos-(\d+)-(\d+)-\w+")


def parent_folders() -> Iterator[str]:
    """List the existing folders in which a private server's folder can be created, best first.

    A database is some 300 files. On ext4, which does not reuse the inode of a deleted file for half a minute, creating
    and dropping databases all the time was measured to slow down from 17 to 340 ms a database; in memory it is 10 ms.
    """
    if "TMPDIR" not in os.environ and _MEMORY.is_dir():
        yield str(_MEMORY)
    yield from dict.fromkeys((tempfile.gettempdir(), "/tmp"))


def has_room(parent: str) -> bool:
    """Return whether there is room for a server; a folder in memory needs much free memory."""
    if parent != str(_MEMORY):
        return True
    import psutil  # it takes long to import

    return shutil.disk_usage(parent).free >= _ROOM and psutil.virtual_memory().available >= _SPARE


def make_folder(account: Account, programs: bool = False) -> Path:
    """Create the folder of a private server, with a record of this process in it.

    It belongs to the user that runs this, so that the server's account cannot replace anything in it by a link. The
    account owns two folders in it: `data` and `socket`.
    """
    for parent in parent_folders():
        prefix = f"pgchaos-{os.geteuid()}-{os.getpid()}-"
        # mkdtemp adds eight characters
        too_long = len(os.fsencode(parent)) + len(prefix) + 10 + len(_SOCKET) > _SOCKET_LIMIT
        noexec = programs and os.statvfs(parent).f_flag & os.ST_NOEXEC
        if too_long or noexec or not has_room(parent) or not os.access(parent, os.W_OK | os.X_OK):
            continue
        if not _is_open_to(parent, account) or _is_replaceable(parent, account):
            continue
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            # renamed when it is complete: another run would take an empty marker for that of a dead run
            unfinished = folder / f"{MARKER}.new"
            unfinished.write_text(RunId.new().dumps(), encoding="utf-8")
            unfinished.replace(folder / MARKER)
            for name in (DATA, SOCKET):
                (folder / name).mkdir(mode=0o700)
                if account.switch:
                    os.chown(folder / name, account.uid, account.gid)
            if account.switch:
                os.chown(folder, -1, account.gid)
                folder.chmod(0o710)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)  # the first error is raised
            raise
        return folder
    raise ServerError(
        f"no folder for a private server: {tempfile.gettempdir()} and /tmp are not writable, closed to the server's "
        "user, replaceable by others (not root's and without the sticky bit), or too long for a socket: set TMPDIR"
    )


def _is_open_to(parent: str, account: Account) -> bool:
    """Return whether an account has search permission for a folder and all folders above it."""
    if not account.switch:
        return True
    path = Path(parent).resolve()
    for folder in (path, *path.parents):
        state = folder.stat()
        groups = (account.gid, *account.groups)
        bit = 0o100 if state.st_uid == account.uid else 0o010 if state.st_gid in groups else 0o001
        if not state.st_mode & bit:
            return False
    return True


def _is_replaceable(parent: str, account: Account) -> bool:
    """Return whether users other than root could replace a folder that is created here."""
    return account.switch and untrusted(Path(parent, "server"), frozenset({0, os.geteuid()})) != ""


def remove_dead_servers() -> list[Path]:
    """Stop and remove the private servers of runs that have ended, and return their folders.

    Only folders of this user, whose run has ended and whose marker no supervisor has locked. This holds for root too: a
    folder that belongs to the servers' account was not created by root, whatever its name is.
    """
    removed = []
    for parent in {*parent_folders(), "/dev/shm"}:
        with contextlib.suppress(OSError):  # there is no such folder, or it is not readable
            for folder in Path(parent).iterdir():
                if _NAME.fullmatch(folder.name) and _is_ours(folder) and _is_dead(folder):
                    remove_server(str(folder))
                    removed.append(folder)
    return removed


def _is_ours(folder: Path) -> bool:
    match = _NAME.fullmatch(folder.name)
    try:
        state = folder.lstat()
    except OSError:
        return False
    owned = state.st_uid == os.geteuid()
    return match is not None and int(match[1]) == os.geteuid() and stat.S_ISDIR(state.st_mode) and owned


def _is_dead(folder: Path) -> bool:
    """Check the lock, which works across containers, then the process if it is one of this system.

    A folder exists before its supervisor has the lock, so a new folder of another system's run is left alone.
    """
    try:
        file = os.open(folder / MARKER, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        # killed before it wrote the marker: only the pid in the folder's name is known, perhaps another system's
        match = _NAME.fullmatch(folder.name)
        return match is not None and has_ended(int(match[2]), 0) and not _is_new(folder)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run = RunId.loads(os.read(file, 4096).decode(errors="replace"))
    except OSError:
        return False
    finally:
        os.close(file)
    if run is not None and run.system == system_id():
        return has_ended(run.pid, run.start)
    return not _is_new(folder)


def _is_new(folder: Path) -> bool:
    """Return whether a folder may belong to a server that is being created."""
    with contextlib.suppress(OSError):  # another run has removed it
        return time.time() - folder.stat().st_mtime < _NEW
    return False
