"""Files that a run writes at its end: checked before it begins, and replaced as a whole."""

from __future__ import annotations

import os
import tempfile
from errno import EINVAL
from pathlib import Path


def check_writable(path: Path) -> None:
    """Raise OSError before a run if its file cannot be written at the end; a missing folder is created."""
    if path.exists() and not path.is_file():
        # a device such as /dev/stdout would be replaced by a file
        raise OSError(EINVAL, "it is no file", str(path))
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """Raise OSError before a run if files cannot be written into a folder; it is created where it is missing."""
    path.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".pgchaos.", dir=path)
    os.close(descriptor)
    Path(name).unlink()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody reads half of it: a new one takes its place, or OSError leaves what was there."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # as open() would have made it: mkstemp allows the owner only
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
