"""Selects what a failure shows of a program's standard error: frames of its own files, not of libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path, PurePath

_SHOWN = 20
"""Lines in a failure."""

_PYTHON = re.compile(r'  File "(?P<file>[^"]+)", line \d+')
_NODE = re.compile(r"    at (?:.*\()?(?:file://)?(?P<file>\S[^()]*?):\d+:\d+\)?\Z")
_MARKS = re.compile(r"\s+[\^~]+\s*\Z")  # below the source line of a frame
_LIBRARIES = {"site-packages", "dist-packages", "node_modules"}
_STANDARD_LIBRARY = re.compile(r"/lib(?:64)?/(?:python3\.\d+|pypy3\.\d+)/")


def shown_lines(lines: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Select the most informative lines of standard error.

    Args:
        lines: of the program.
        folder: the working directory of the program.

    Returns:
        At most 20. If there are more, stack traces of Python and Node lose the frames of libraries, unless no other
        frame is left; then the last 20 are returned.
    """
    if len(lines) <= _SHOWN:
        return tuple(lines)
    frames = list(_frames(lines, folder))
    if any(kind == "own" for kind, _ in frames):
        lines = list(_without_libraries(frames))
    return tuple(lines[-_SHOWN:])


def _frames(lines: Sequence[str], folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Split lines into `own` frames, frames of a `library`, and `other` lines."""
    at = 0
    while at < len(lines):
        start, python = at, _PYTHON.match(lines[at])
        found = python or _NODE.match(lines[at])
        at += 1
        if python:
            # the source line and its markers
            while at < len(lines) and lines[at].startswith("    "):
                at += 1
        kind = ("own" if is_own_file(found["file"], folder) else "library") if found else "other"
        yield kind, list(lines[start:at])


def is_own_file(file: str, folder: Path) -> bool:
    """Whether the file of a frame belongs to the program, not to a library.

    Args:
        file: its path, or a placeholder such as `<string>`.
        folder: the working directory of the program: files in it are its own, unless they are installed libraries.
    """
    path = PurePath(file)
    if file.startswith(("node:", "<frozen ")) or _LIBRARIES & set(path.parts):
        return False
    if path.is_absolute():
        return path.is_relative_to(folder) or not _STANDARD_LIBRARY.search(file)
    # compiled libraries have relative paths of their sources
    return file.startswith("<") or (folder / path).exists()


def _without_libraries(frames: Sequence[tuple[str, list[str]]]) -> Iterator[str]:
    for kind, group in groupby(frames, key=lambda frame: frame[0]):
        parts = [lines for _, lines in group]
        if kind == "library":
            yield f"  ({len(parts)} {'frame' if len(parts) == 1 else 'frames'} of libraries)"
            continue
        for lines in parts:
            yield from (line for line in lines if kind == "other" or not _MARKS.match(line))
