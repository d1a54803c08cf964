"""Checks before a run that its output files can be written, and writes them atomically."""

from __future__ import annotations

import os
import tempfile
from errno import EINVAL
from pathlib import Path


def check_writable(path: Path) -> None:
    """Raise OSError if a file cannot be written; create its folder if it is missing."""
    if path.exists() and not path.is_file():
        # a device such as /dev/stdout would be replaced by a file
        raise OSError(EINVAL, "it is no file", str(path))
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """Raise OSError if files cannot be written into a folder; create it if it is missing."""
    path.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".pgchaos.", dir=path)
    os.close(descriptor)
    Path(name).unlink()


def write_whole(path: Path, text: str) -> None:
    """Replace a file atomically; after an OSError the old one is unchanged."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # with the mode of open(): mkstemp allows only the owner to read it
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
