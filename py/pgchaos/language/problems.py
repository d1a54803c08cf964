"""Lines of a file, and their problems."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

LANGUAGE, UNKNOWN_TAG, UNUSED_MATRIX, SNAPSHOT_WAIT = "language", "unknown-tag", "unused-matrix", "snapshot-wait"
UNREAD_DIRECTIVE, UNUSED_SIGNAL = "unread-directive", "unused-signal"
"""The rules that the reader checks, by their names in `pgchaos lint`."""


class Place(NamedTuple):
    """A line of a file: the path in messages, and the line number from 1."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem of a file."""

    place: Place
    text: str  # what is wrong, and what was probably meant
    # it concerns the file as a whole. Such problems are listed last, because the problem of a line may be the cause.
    whole: bool = False
    rule: str = field(default=LANGUAGE, compare=False)  # its name in `pgchaos lint`

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ScenarioError(Exception):
    """A file is not a valid scenario: all its problems in order of line, those of the whole file last."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
