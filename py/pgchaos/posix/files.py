"""Reads files below a folder that another account can write: it may put a link, a pipe or another's file there.

Also locks files, with a limit of time.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import stat
import time
from pathlib import Path

_MOST = 65536


def read_below(folder: Path, *names: str) -> str:
    """Read a file without following symbolic links, and only if it belongs to the owner of its folder.

    Args:
        folder: where to begin; no other user may be able to replace it.
        names: of the folders below it, then of the file.

    Returns:
        The text, up to 64 KB; bytes that are not UTF-8 are replaced.

    Raises:
        OSError: there is no such file, or it is a link, not a regular file, or another user's.
    """
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in names[:-1]:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        # without O_NONBLOCK a named pipe would block
        file = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=at)
        try:
            state = os.fstat(file)
            if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1 or state.st_uid != os.fstat(at).st_uid:
                raise OSError(f"{'/'.join(names)} in {folder} is not a plain file of its folder's owner")
            return os.read(file, _MOST).decode(errors="replace")
        finally:
            os.close(file)
    finally:
        os.close(at)


def lock(file: int, path: Path, seconds: float) -> None:
    """Lock an open file exclusively, by flock(2).

    Args:
        file: its descriptor; the lock ends when it is closed.
        path: of the file, for the message.
        seconds: to wait for another process that has locked it.

    Raises:
        TimeoutError: another process has had it locked for all that time.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError(f"another process has locked {path} for {seconds:g} s") from None
        time.sleep(0.005)  # polled: flock has no timeout


def open_own(path: Path) -> int:
    """Open a file for reading that only root or the user of this process can have written.

    Args:
        path: of the file; no other user may be able to replace it.

    Returns:
        The descriptor.

    Raises:
        OSError: it is a link, not a plain file, or another user's, or others can write it.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    state = os.fstat(file)
    reason = _not_protected(path, state, frozenset({0, os.geteuid()}), sticky=False)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        reason = f"{path} is not a plain file"
    if reason:
        os.close(file)
        raise OSError(reason)
    return file


def untrusted(path: Path, trusted: frozenset[int]) -> str:
    """Return why a folder cannot be trusted: another user may replace it or its contents.

    Args:
        path: the folder; it may not exist yet.
        trusted: the user ids that may own it and the folders above it.

    Returns:
        The reason, or ''. Above it, a sticky folder that others can write is safe: they can rename only their files.
    """
    path = path.absolute()
    reason = ""
    for folder in (path, *path.parents):
        try:
            state = folder.lstat()
        except FileNotFoundError:  # it will be created: the folders above it decide
            continue
        if stat.S_ISLNK(state.st_mode):
            if state.st_uid not in trusted:
                return f"{folder} is a link that belongs to user {state.st_uid}"
            reason = untrusted(folder.resolve(), trusted)
        else:
            reason = _not_protected(folder, state, trusted, sticky=folder != path)
        if reason:
            return reason
    return ""


def untrusted_tree(root: Path, trusted: frozenset[int]) -> str:
    """Return why a folder, or a file below it, cannot be trusted.

    Args:
        root: the folder.
        trusted: the user ids that may own it and its contents.

    Returns:
        The reason, or ''. Symbolic links must stay below the folder.
    """
    reason = untrusted(root, trusted)
    if reason:
        return reason
    top = root.resolve()
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            state = path.lstat()
            if stat.S_ISLNK(state.st_mode):
                if state.st_uid not in trusted or not path.resolve().is_relative_to(top):
                    return f"{path} is a link that leads out, or belongs to another user"
            elif reason := _not_protected(path, state, trusted, sticky=False):
                return reason
    return ""


def _not_protected(path: Path, state: os.stat_result, trusted: frozenset[int], *, sticky: bool) -> str:
    if state.st_uid not in trusted:
        return f"{path} belongs to user {state.st_uid}"
    others = stat.S_IWOTH if _private(state) else stat.S_IWGRP | stat.S_IWOTH
    if state.st_mode & others and not (sticky and state.st_mode & stat.S_ISVTX):
        return f"{path} can be written by others (mode {stat.S_IMODE(state.st_mode):04o})"
    return ""


def _private(state: os.stat_result) -> bool:
    """Whether a file's group holds only its owner, as on many systems."""
    try:
        group, owner = grp.getgrgid(state.st_gid), pwd.getpwuid(state.st_uid)
    except KeyError:
        return False
    return group.gr_name == owner.pw_name and owner.pw_gid == state.st_gid and not set(group.gr_mem) - {owner.pw_name}


def protect(root: Path) -> None:
    """Let only the owner write, in a folder that no other user has had access to."""
    for folder, _, files in os.walk(root):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            if not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
