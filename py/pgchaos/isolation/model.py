"""A parsed spec. The parser makes it; everything else only reads it.

Texts hold bytes that are not UTF-8 as surrogates, so that they are sent and printed as in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a session."""

    name: str  # unique in the file
    sql: str  # one simple query, trimmed as isolationtester prints it
    session: int  # its index
    line: int  # from 1


@dataclass(frozen=True, slots=True)
class Session:
    """A session."""

    name: str  # without quotes
    setup: str | None  # one query before the steps
    steps: tuple[Step, ...]  # in file order
    teardown: str | None  # one query after them


@dataclass(frozen=True, slots=True)
class Blocker:
    """Delays the report of a completed step, never a launch."""

    step: Step  # of another session, that must not be running
    notices: int = 0  # that the session of the step must have sent since the launch; 0: the step itself counts


@dataclass(frozen=True, slots=True)
class Turn:
    """A step in a permutation."""

    step: Step
    once: bool = False  # `*`: reported as waiting at once, whether it waits or not
    blockers: tuple[Blocker, ...] = ()  # that delay its report


Permutation = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec file."""

    path: Path
    shown: str  # the path in messages
    setups: tuple[str, ...]  # queries of the control connection before each permutation
    teardown: str | None  # its query after each
    sessions: tuple[Session, ...]  # in file order
    written: tuple[Permutation, ...]  # the permutations in the file; empty: all interleavings of the sessions' steps
    source: str  # the text

    @property
    def name(self) -> str:
        """Name of the expected output and of the application_name."""
        return self.path.name.removesuffix(".spec")

    def queries(self) -> Iterator[str]:
        """Give all queries of the control connection and of the sessions."""
        yield from self.setups
        for session in self.sessions:
            yield from filter(None, (session.setup, *(step.sql for step in session.steps), session.teardown))
        if self.teardown is not None:
            yield self.teardown

    def unused(self) -> list[str]:
        """List the steps that no written permutation uses, in byte order."""
        used = {turn.step.name for permutation in self.written for turn in permutation}
        names = {step.name for session in self.sessions for step in session.steps} if self.written else set()
        return sorted(names - used, key=encoded)

    def permutations(self) -> Iterator[Permutation]:
        """Generate the written permutations, or all interleavings: those first that begin with the first session."""
        if self.written:
            yield from self.written
        else:
            yield from _interleaved([tuple(map(Turn, session.steps)) for session in self.sessions])


def _interleaved(piles: list[tuple[Turn, ...]]) -> Iterator[Permutation]:
    """Generate all interleavings in order, without a call for each step: there may be thousands."""
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
    """Encode a text as it was in the file."""
    return text.encode("utf-8", "surrogateescape")


def decoded(raw: bytes) -> str:
    """Decode bytes so that `encoded` restores them."""
    return raw.decode("utf-8", "surrogateescape")
