"""A data directory as one file. Code that reads or writes the directory runs as the server's account.

Equal files are stored once: an empty database has some 300 files, most of them equal to those of another database. The
checksum shows a file that is incomplete, or was changed by a defect of the disk.
"""

from __future__ import annotations

import json
import mmap
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MAGIC = b"pgchaos1"
_HEADER = struct.Struct("<8sQQI")  # the magic number, bytes of contents, bytes of the index, checksum of both
_MOST = 512 << 20  # bytes
_ZEROS = bytes(1 << 20)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# of the server that ran there: its process, its command line and its statistics
_LEFT_OUT = ("postmaster.pid", "postmaster.opts", "pg_stat/pgstat.stat")


class DamagedArchive(Exception):
    """The archive is not complete, or was changed."""


def write(data: Path, file: int) -> None:
    """Write a data directory into an archive.

    Args:
        data: of a server that was shut down.
        file: an empty file, open for writing.

    Raises:
        OSError: it cannot be read or written, is too large, or contains a link.
    """
    offsets: dict[bytes, int] = {}  # of the contents in the archive
    index: list[tuple[str, int, int, int]] = []  # name, size, stored bytes, and their offset; -1 for a folder
    end, checksum = _HEADER.size, 0
    os.lseek(file, end, os.SEEK_SET)
    for name in _names(data):
        content = _content(data / name)
        if content is None:
            index.append((name, 0, 0, -1))
            continue
        stored = content.rstrip(b"\0")
        if stored not in offsets:
            offsets[stored] = end
            end, checksum = end + len(stored), zlib.crc32(stored, checksum)
            if end > _MOST:
                raise OSError(f"{data} is too large for an archive")
            _write_all(file, stored)
        index.append((name, len(content), len(stored), offsets[stored]))
    text = json.dumps(index).encode()
    _write_all(file, text)
    header = _HEADER.pack(_MAGIC, end - _HEADER.size, len(text), zlib.crc32(text, checksum))
    os.pwrite(file, header, 0)  # last: without it the file is no archive


def extract(file: int, data: Path) -> None:
    """Extract an archive into an empty data directory.

    Raises:
        DamagedArchive: the archive is not as it was written.
        OSError: the directory cannot be written.
    """
    if os.fstat(file).st_size < _HEADER.size:
        raise DamagedArchive("it is too short")
    with mmap.mmap(file, 0, prot=mmap.PROT_READ) as archive, memoryview(archive) as whole:
        magic, contents, text, checksum = _HEADER.unpack(whole[: _HEADER.size])
        if magic != _MAGIC or len(whole) != _HEADER.size + contents + text:
            raise DamagedArchive("it is not complete")
        with whole[_HEADER.size :] as rest:
            if zlib.crc32(rest) != checksum:
                raise DamagedArchive("its checksum is wrong")
        os.chdir(data)
        for name, size, stored, offset in json.loads(whole[_HEADER.size + contents :].tobytes()):
            if PurePosixPath(name).is_absolute() or ".." in name.split("/"):
                raise DamagedArchive(f"{name} leads out of it")
            if offset < 0:
                os.mkdir(name, 0o700)  # noqa: PTH102  for a thousand files a Path takes long
                continue
            target = os.open(name, _NEW, 0o600)
            try:
                with whole[offset : offset + stored] as part:
                    _write_all(target, part)
                # the server needs the room: a file with a hole would not have it
                for start in range(stored, size, len(_ZEROS)):
                    _write_all(target, memoryview(_ZEROS)[: size - start])
            finally:
                os.close(target)


def append(path: Path, text: str) -> None:
    """Append text to a file, as the account that owns it."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _write_all(file, text.encode())
    finally:
        os.close(file)


def _names(data: Path) -> Iterator[str]:
    """List the files and folders of a data directory, folders before their contents."""
    for folder, folders, files in os.walk(data):
        folders.sort()
        for name in (*folders, *sorted(files)):
            found = os.path.relpath(os.path.join(folder, name), data)  # noqa: PTH118  a Path takes ten times as long
            if found not in _LEFT_OUT:
                yield found


def _content(path: Path) -> bytes | None:
    """Read a file; None for a folder."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    state = os.fstat(file)
    if stat.S_ISDIR(state.st_mode):
        os.close(file)
        return None
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(state.st_mode):
            raise OSError(f"{path} is not a plain file")
        if state.st_size > _MOST:
            raise OSError(f"{path} is too large for an archive")
        return opened.read(_MOST)


def _write_all(file: int, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
