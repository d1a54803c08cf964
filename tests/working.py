"""Which processes work in a folder: those of the programs of a scenario, and what they have started."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def working_in(folder: Path) -> int:
    """Count the processes whose current directory is a folder (Linux)."""
    found = 0
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended, or is another user's
            found += entry.readlink() == folder
    return found
