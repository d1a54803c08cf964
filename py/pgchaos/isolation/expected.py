"""The expected output of specs: where it is stored, and how the actual output differs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgchaos.server_text import decoded, encoded

_STARTING = "starting permutation:"
_CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """A file of expected output."""

    path: Path
    text: str  # with \n as line ends


@dataclass(frozen=True, slots=True)
class Difference:
    """A permutation whose output is not as expected."""

    number: int  # of the permutation, from 1; 0 for the lines before the first
    steps: str
    line: int  # of the first difference, in the expected file
    lines: tuple[str, ...]  # `-` expected, `+` actual, a space before equal lines


def expected_path(spec: Path) -> Path:
    """Return the path of a spec's expected output, as for pg_isolation_regress, or next to the spec.

    `../expected/NAME.out` if the spec is in a folder `specs`, or if that folder exists; else `expected/NAME.out`. A
    folder `expected` next to the spec has precedence.
    """
    above = spec.parent.parent / "expected"
    folder = above if spec.parent.name == "specs" or above.is_dir() else spec.parent / "expected"
    if (spec.parent / "expected").is_dir():
        folder = spec.parent / "expected"
    return folder / f"{spec.name.removesuffix('.spec')}.out"


def read_expected(spec: Path) -> tuple[Expected, ...]:
    """Read the expected outputs of a spec: those of NAME.out and NAME_0.out to NAME_9.out that exist."""
    first = expected_path(spec)
    paths = (first, *(first.with_name(f"{first.stem}_{number}.out") for number in range(10)))
    return tuple(Expected(path, decoded(path.read_bytes()).replace("\r\n", "\n")) for path in paths if path.is_file())


def write(path: Path, output: str) -> None:
    """Store actual output as the expected one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(output))


def nearest(output: str, expected: Sequence[Expected]) -> tuple[Expected, list[Difference]]:
    """Return the expected output with the fewest differences, the first of equal ones, and its differences."""
    found = [(one, differences(output, one.text)) for one in expected]
    return min(found, key=lambda pair: sum(len(difference.lines) for difference in pair[1]))


def differences(output: str, expected: str) -> list[Difference]:
    """Compare actual with expected output, permutation by permutation."""
    if output == expected:
        return []
    ours, theirs = _parts(output), _parts(expected)
    matcher = difflib.SequenceMatcher(None, [part[0] for part in theirs], [part[0] for part in ours], autojunk=False)
    starts = [1]
    for part in theirs:
        starts.append(starts[-1] + len(part))
    found: list[Difference] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            pairs = zip(range(i1, i2), range(j1, j2), strict=True)
            found += (_difference(j, theirs[i], ours[j], starts[i]) for i, j in pairs if theirs[i] != ours[j])
            continue
        found += (_difference(j1, theirs[i], [], starts[i]) for i in range(i1, i2))
        found += (_difference(j, [], ours[j], starts[i1]) for j in range(j1, j2))
    return found


def _parts(text: str) -> list[list[str]]:
    """Split an output into permutations; the first part is the lines before the first permutation."""
    parts: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.startswith(_STARTING):
            parts.append([])
        parts[-1].append(line)
    # an equal first line, so that the parts before the first permutation are compared with each other
    parts[0].insert(0, "")
    return parts


def _difference(number: int, theirs: list[str], ours: list[str], start: int) -> Difference:
    head = next((part[0] for part in (ours, theirs) if part), "")
    steps = head.removeprefix(_STARTING).strip()
    lines = tuple(_lines(theirs, ours) if number else _lines(theirs[1:], ours[1:]))
    first = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), len(ours))
    # the line that `_parts` inserted is not counted
    return Difference(number, steps, start + min(first, max(0, len(theirs) - 1)) - 1, lines)


def _lines(theirs: list[str], ours: list[str]) -> Iterator[str]:
    for line in difflib.unified_diff(theirs, ours, lineterm="", n=_CONTEXT):
        if not line.startswith(("--- ", "+++ ", "@@ ")):
            yield line
        elif line.startswith("@@ ") and theirs and ours:
            yield "..."
