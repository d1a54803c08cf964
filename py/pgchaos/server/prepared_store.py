"""Stores prepared data directories in the user's cache folder, for the next runs.

Each entry is a folder that contains the archive and a list of the files it was made from. Its name is a checksum of
everything else it was made from. Entries are written under one lock, and renamed when they are complete. Nothing that
other users than this one and root could have written is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pgchaos.posix.files import lock, open_own, untrusted

ARCHIVE = "archive"
_MADE_FROM = "made_from.json"
_LOCK = ".lock"
_NEW, _OLD = ".new", ".old"
# The folder may have other contents: the user can name any.
_ENTRY = re.compile(r"[0-9a-f]{32}(\.new|\.old)?")

_UNUSED_SECONDS = 30 * 24 * 3600
_MOST_BYTES = 256 << 20
_LOCK_LIMIT = 60.0  # seconds; the holder makes an archive, which takes about one second

Identity = list[int]


def identity(path: Path) -> Identity:
    """Identify a state of a file or folder; [] if there is none.

    The change time of an inode cannot be set, so a replacement of the same size and modification time is noticed.
    """
    try:
        state = path.stat()
    except OSError:
        return []
    return [state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]


class PreparedStore:
    """The folder of prepared data directories.

    Args:
        folder: created if it is missing.

    Raises:
        OSError: it cannot be used; the message says why.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another run has created it
            folder.mkdir(mode=0o700)
        reason = untrusted(folder, frozenset({0, os.geteuid()}))
        if reason:
            raise PermissionError(reason)

    def find(self, key: str) -> Path | None:
        """Find an archive; None if there is none, or a file that it was made from has changed."""
        entry = self._folder / key
        try:
            with os.fdopen(open_own(entry / _MADE_FROM), encoding="utf-8") as file:
                made_from = json.load(file)
            if any(identity(Path(path)) != recorded for path, recorded in made_from):
                return None
            os.utime(entry)  # it is in use
            self._remove_unused(entry.stat().st_mtime)
        except (OSError, ValueError, TypeError):
            return None
        return entry / ARCHIVE

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for writing; OSError if another run holds the lock for too long."""
        file = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            lock(file, self._folder / _LOCK, _LOCK_LIMIT)
            yield
        finally:
            os.close(file)

    def publish(self, key: str, write: Callable[[Path], None], made_from: Sequence[Path]) -> Path:
        """Add an archive, and remove old ones; call it with the lock held.

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
                _remove(path)
        new, entry, old = (self._folder / f"{key}{end}" for end in (_NEW, "", _OLD))
        try:
            new.mkdir(mode=0o700)
            identities = [(str(path), identity(path)) for path in made_from]
            write(new / ARCHIVE)
            (new / _MADE_FROM).write_text(json.dumps(identities), encoding="utf-8")
            (new / _MADE_FROM).chmod(0o600)
            if entry.exists():
                entry.rename(old)
            new.rename(entry)
        finally:
            for path in (new, old):
                _remove(path)
        self._remove_unused(entry.stat().st_mtime)
        self._make_room(key)
        return entry / ARCHIVE

    def discard(self, archive: Path, failed: Identity) -> None:
        """Remove an unusable archive, unless another run has replaced it; call it with the lock held."""
        if identity(archive) == failed:
            _remove(archive.parent)

    def _entries(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if _ENTRY.fullmatch(path.name) and path.is_dir()]

    def _remove_unused(self, now: float) -> None:
        """Remove entries that were not used for long; `now` is by the clock of the file system, in seconds."""
        for path in self._entries():
            with contextlib.suppress(OSError):  # another run has removed it
                if now - path.stat().st_mtime > _UNUSED_SECONDS:
                    _remove(path)

    def _make_room(self, key: str) -> None:
        """Remove the least recently used entries, except `key`, until the rest fits."""
        room = _MOST_BYTES
        for path in sorted(self._entries(), key=lambda path: path.stat().st_mtime, reverse=True):
            room -= sum(file.stat().st_size for file in path.iterdir())
            if room < 0 and path.name != key:
                _remove(path)


def _remove(entry: Path) -> None:
    shutil.rmtree(entry, ignore_errors=True)  # what cannot be removed now is removed by a later run
