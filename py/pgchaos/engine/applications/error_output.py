"""What a failure shows of the standard error of a program: the frames of its own files, not those of libraries."""

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
    """Choose the lines of standard error that say most.

    Args:
        lines: all that a program has written.
        folder: in which it ran.

    Returns:
        At most 20: all where they are no more. Else stack traces of Python and Node come without the frames of
        libraries, as long as a frame of the program's own is left; of what is still too long, the end.
    """
    if len(lines) <= _SHOWN:
        return tuple(lines)
    frames = list(_frames(lines, folder))
    if any(kind == "own" for kind, _ in frames):
        lines = list(_without_libraries(frames))
    return tuple(lines[-_SHOWN:])


def _frames(lines: Sequence[str], folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Part a text into `own` frames, frames of a `library`, and `other` lines."""
    at = 0
    while at < len(lines):
        begins, python = at, _PYTHON.match(lines[at])
        found = python or _NODE.match(lines[at])
        at += 1
        if python:
            # the source line, and what marks a part of it
            while at < len(lines) and lines[at].startswith("    "):
                at += 1
        kind = ("own" if is_own_file(found["file"], folder) else "library") if found else "other"
        yield kind, list(lines[begins:at])


def is_own_file(file: str, folder: Path) -> bool:
    """Whether a file that a frame names is none of a library.

    Args:
        file: its path, or what stands for one, such as `<string>`.
        folder: of the program: what is in it is its own, unless it is an installed library.
    """
    path = PurePath(file)
    if file.startswith(("node:", "<frozen ")) or _LIBRARIES & set(path.parts):
        return False
    if path.is_absolute():
        return path.is_relative_to(folder) or not _STANDARD_LIBRARY.search(file)
    # compiled libraries name their sources by relative paths
    return file.startswith("<") or (folder / path).exists()


def _without_libraries(frames: Sequence[tuple[str, list[str]]]) -> Iterator[str]:
    for kind, group in groupby(frames, key=lambda frame: frame[0]):
        parts = [lines for _, lines in group]
        if kind == "library":
            yield f"  ({len(parts)} {'frame' if len(parts) == 1 else 'frames'} of libraries)"
            continue
        for lines in parts:
            yield from (line for line in lines if kind == "other" or not _MARKS.match(line))
