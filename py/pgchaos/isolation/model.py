r"""What a spec says. The reader makes these; everyone else only reads them.

Texts hold bytes that are not UTF-8 as surrogates, so that they are sent and printed as they stand in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a session.

    Args:
        name: unique in the file.
        sql: one simple query, as isolationtester trims and prints it.
        session: the index of its session.
        line: of the file, from 1.
    """

    name: str
    sql: str
    session: int
    line: int


@dataclass(frozen=True, slots=True)
class Session:
    """A session.

    Args:
        name: as written, without quotes.
        setup: its one query before the steps, or None.
        steps: in order of the file.
        teardown: its one query after them, or None.
    """

    name: str
    setup: str | None
    steps: tuple[Step, ...]
    teardown: str | None


@dataclass(frozen=True, slots=True)
class Blocker:
    """What holds back the report of a completion, and never a launch.

    Args:
        step: that must not be running; of another session.
        notices: that the session of the step must have sent since the launch, or 0: then the step itself counts.
    """

    step: Step
    notices: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A step in a permutation.

    Args:
        step: which.
        once: `*`: it is reported as waiting at once, whether it does or not.
        blockers: that hold its report.
    """

    step: Step
    once: bool = False
    blockers: tuple[Blocker, ...] = ()


Permutation = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """A file.

    Args:
        path: where it lies.
        shown: the path as users are told of it.
        setups: queries of the control connection before each permutation.
        teardown: its query after each, or None.
        sessions: in order.
        written: the permutations of the file; none: all interleavings of the sessions' steps.
        source: its text.
    """

    path: Path
    shown: str
    setups: tuple[str, ...]
    teardown: str | None
    sessions: tuple[Session, ...]
    written: tuple[Permutation, ...]
    source: str

    @property
    def name(self) -> str:
        """The name that its expected output and its application_name have."""
        return self.path.name.removesuffix(".spec")

    def unused(self) -> list[str]:
        """Name the steps that no written permutation uses, in order of their bytes."""
        used = {turn.step.name for permutation in self.written for turn in permutation}
        names = {step.name for session in self.sessions for step in session.steps} if self.written else set()
        return sorted(names - used, key=encoded)

    def permutations(self) -> Iterator[Permutation]:
        """Give what is to be run, in order.

        Yields:
            The written permutations, or all interleavings: first those that begin with the first session.
        """
        if self.written:
            yield from self.written
        else:
            yield from _interleaved([tuple(map(Turn, session.steps)) for session in self.sessions])


def _interleaved(piles: list[tuple[Turn, ...]]) -> Iterator[Permutation]:
    """Give all interleavings in order, without a call for each step: there may be thousands."""
    choices = [number for number, pile in enumerate(piles) for _ in pile]
    while True:
        given = list(map(iter, piles))
        yield tuple(next(given[number]) for number in choices)
        # the next in order: the last choice that can be a greater one, then the rest from the smallest
        at = next((at for at in range(len(choices) - 1, 0, -1) if choices[at - 1] < choices[at]), 0)
        if not at:
            return
        greater = next(i for i in range(len(choices) - 1, at - 1, -1) if choices[i] > choices[at - 1])
        choices[at - 1], choices[greater] = choices[greater], choices[at - 1]
        choices[at:] = reversed(choices[at:])


def encoded(text: str) -> bytes:
    """Give the bytes of a text as they stood in the file."""
    return text.encode("utf-8", "surrogateescape")


def decoded(raw: bytes) -> str:
    """Give a text for bytes, to be given back by `encoded`."""
    return raw.decode("utf-8", "surrogateescape")
