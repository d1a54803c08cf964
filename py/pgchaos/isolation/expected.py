"""The output that is expected of a spec: where it lies, and how what was printed differs from it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgchaos.isolation.model import decoded, encoded

_STARTING = "starting permutation:"
_CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """A file of expected output.

    Args:
        path: where it lies.
        text: of it, with plain ends of lines.
    """

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A permutation whose output is not as expected.

    Args:
        number: of the permutation, from 1; 0 for what stands before the first.
        steps: its steps.
        line: of the expected file, where the first difference is.
        lines: of the difference: `-` expected, `+` printed, a blank before what is equal.
    """

    number: int
    steps: str
    line: int
    lines: tuple[str, ...]


def place_of(spec: Path) -> Path:
    """Say where the expected output of a spec lies: as pg_isolation_regress has it, or beside the spec.

    Args:
        spec: the file.

    Returns:
        `../expected/NAME.out` of a spec in a folder `specs`, or where there is such a folder; else
        `expected/NAME.out` beside it.
    """
    above = spec.parent.parent / "expected"
    folder = above if spec.parent.name == "specs" or above.is_dir() else spec.parent / "expected"
    if (spec.parent / "expected").is_dir():
        folder = spec.parent / "expected"
    return folder / f"{spec.name.removesuffix('.spec')}.out"


def expected_of(spec: Path) -> tuple[Expected, ...]:
    """Read what is expected of a spec.

    Args:
        spec: the file.

    Returns:
        NAME.out and NAME_0.out to NAME_9.out, as far as they are there: any of them will do.
    """
    first = place_of(spec)
    paths = (first, *(first.with_name(f"{first.stem}_{number}.out") for number in range(10)))
    return tuple(Expected(path, decoded(path.read_bytes()).replace("\r\n", "\n")) for path in paths if path.is_file())


def write(path: Path, output: str) -> None:
    """Take output for what is expected.

    Args:
        path: of the expected file.
        output: as printed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(output))


def nearest(output: str, expected: Sequence[Expected]) -> tuple[Expected, list[Difference]]:
    """Find the expected output that is most like what was printed.

    Args:
        output: as printed.
        expected: at least one; the first of those that are equally near wins.

    Returns:
        It, and how it differs; no differences where it is the same.
    """
    found = [(one, differences(output, one.text)) for one in expected]
    return min(found, key=lambda pair: sum(len(difference.lines) for difference in pair[1]))


def differences(output: str, expected: str) -> list[Difference]:
    """Compare outputs, permutation by permutation.

    Args:
        output: as printed.
        expected: as in the file.

    Returns:
        The permutations that differ, in order.
    """
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
    """Cut an output into its lines, those before the first permutation first."""
    parts: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.startswith(_STARTING):
            parts.append([])
        parts[-1].append(line)
    # what stands before the first permutation is compared with its like, whatever its first line is
    parts[0].insert(0, "")
    return parts


def _difference(number: int, theirs: list[str], ours: list[str], start: int) -> Difference:
    head = next((part[0] for part in (ours, theirs) if part), "")
    steps = head.removeprefix(_STARTING).strip()
    lines = tuple(_lines(theirs, ours) if number else _lines(theirs[1:], ours[1:]))
    first = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), len(ours))
    # the line that was put before the first part counts for none
    return Difference(number, steps, start + min(first, max(0, len(theirs) - 1)) - 1, lines)


def _lines(theirs: list[str], ours: list[str]) -> Iterator[str]:
    for line in difflib.unified_diff(theirs, ours, lineterm="", n=_CONTEXT):
        if not line.startswith(("--- ", "+++ ", "@@ ")):
            yield line
        elif line.startswith("@@ ") and theirs and ours:
            yield "..."
