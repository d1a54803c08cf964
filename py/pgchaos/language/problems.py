"""Where something stands, and what is wrong there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """A line of a file, as a user is told of it.

    Args:
        path: the file, as it is shown.
        line: its line, from 1.
    """

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a file.

    Args:
        place: where.
        text: what is wrong, what was meant.
        whole: something is missing in the file as a whole, perhaps because of what is wrong in its lines: it is told
            behind these.
    """

    place: Place
    text: str
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ScenarioError(Exception):
    """A file that is no scenario.

    Args:
        problems: everything that is wrong with it, in order of line; what is wrong with the whole of it comes last.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
