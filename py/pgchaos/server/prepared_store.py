"""Keeps prepared data directories in the user's cache, for the next runs.

Each is a folder, named by what it was made from, with the archive and a list of the files that it was made from too. It
is complete when it appears, because it is renamed. All that is written is written under one lock. Nothing is used that
another user than root could have written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pgchaos.posix.files import open_own, untrusted

ARCHIVE = "archive"
_MADE_FROM = "made_from.json"
_LOCK = ".lock"
_NEW, _OLD = ".new", ".old"

_UNUSED_SECONDS = 30 * 24 * 3600
_MOST_BYTES = 256 << 20
_LOCK_LIMIT = 60.0  # seconds; whoever has the lock makes one, which takes a second

Identity = list[int]


def identity(path: Path) -> Identity:
    """Identify a state of a file or folder; [] if there is none.

    The time of the last change of its inode cannot be set, so that a file that was replaced by one of the same size
    and age is noticed.
    """
    try:
        state = path.stat()
    except OSError:
        return []
    return [state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]


class PreparedStore:
    """The folder of prepared data directories.

    Args:
        folder: is created if it is missing.

    Raises:
        OSError: it cannot be used; the message says why.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        reason = untrusted(folder, frozenset({0, os.geteuid()}))
        if reason:
            raise PermissionError(reason)

    def find(self, key: str) -> Path | None:
        """Find an archive; None if there is none, or one of what it was made from has changed."""
        entry = self._folder / key
        try:
            with os.fdopen(open_own(entry / _MADE_FROM), encoding="utf-8") as file:
                made_from = json.load(file)
            if any(identity(Path(path)) != known for path, known in made_from):
                return None
            os.utime(entry)  # it is in use
            self._remove_unused(entry.stat().st_mtime)
        except (OSError, ValueError, TypeError):
            return None
        return entry / ARCHIVE

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other run write here; OSError if another one does so for too long."""
        file = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            limit = time.monotonic() + _LOCK_LIMIT
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > limit:
                        raise TimeoutError(f"another run has locked {self._folder} for {_LOCK_LIMIT:g} s") from None
                time.sleep(0.005)  # polled: a lock that is waited for has no limit of time
            yield
        finally:
            os.close(file)

    def publish(self, key: str, write: Callable[[Path], None], made_from: Sequence[Path]) -> Path:
        """Add an archive, and remove what is old; under the lock.

        Args:
            key: its name.
            write: writes the new file.
            made_from: files and folders; if one changes, the archive is out of date.

        Returns:
            The archive.

        Raises:
            OSError: it cannot be added.
        """
        for path in self._entries():
            if path.suffix in (_NEW, _OLD):  # a run was killed
                shutil.rmtree(path, ignore_errors=True)
        new, entry, old = (self._folder / f"{key}{end}" for end in (_NEW, "", _OLD))
        try:
            new.mkdir(mode=0o700)
            known = [(str(path), identity(path)) for path in made_from]
            write(new / ARCHIVE)
            (new / _MADE_FROM).write_text(json.dumps(known), encoding="utf-8")
            (new / _MADE_FROM).chmod(0o600)
            if entry.exists():
                entry.rename(old)
            new.rename(entry)
        finally:
            for path in (new, old):
                shutil.rmtree(path, ignore_errors=True)
        self._remove_unused(entry.stat().st_mtime)
        self._make_room(key)
        return entry / ARCHIVE

    def discard(self, archive: Path, failed: Identity) -> None:
        """Remove an archive that cannot be used, unless another run has replaced it; under the lock."""
        if identity(archive) == failed:
            shutil.rmtree(archive.parent, ignore_errors=True)

    def _entries(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.is_dir()]

    def _remove_unused(self, now: float) -> None:
        """Remove what was not used for long; `now` is by the clock of the file system, in seconds."""
        for path in self._entries():
            with contextlib.suppress(OSError):  # another run removes it, too
                if now - path.stat().st_mtime > _UNUSED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def _make_room(self, kept: str) -> None:
        """Remove what was used before others, as long as it is too much."""
        room = _MOST_BYTES
        for path in sorted(self._entries(), key=lambda path: path.stat().st_mtime, reverse=True):
            room -= sum(file.stat().st_size for file in path.iterdir())
            if room < 0 and path.name != kept:
                shutil.rmtree(path, ignore_errors=True)
