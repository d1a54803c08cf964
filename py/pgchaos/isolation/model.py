"""A parsed spec. Only the parser creates it, and nothing changes it.

In texts, bytes that are not UTF-8 are surrogates, so they are sent and printed as in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgchaos.server_text import encoded


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

    step: Step  # a step of another session that must be complete
    notices: int = 0  # if not 0, it suffices that the step's session has sent this many notices since the launch


@dataclass(frozen=True, slots=True)
class PermutationStep:
    """A step in a permutation."""

    step: Step
    once: bool = False  # `*`: reported as waiting immediately, whether it waits or not
    blockers: tuple[Blocker, ...] = ()


Permutation = tuple[PermutationStep, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec file."""

    path: Path
    shown: str  # the path in messages
    setups: tuple[str, ...]  # queries of the control connection before each permutation
    teardown: str | None  # the query of the control connection after each permutation
    sessions: tuple[Session, ...]  # in file order
    written: tuple[Permutation, ...]  # the permutations in the file; if empty, all interleavings are run
    source: str  # the text of the file

    @property
    def name(self) -> str:
        """The name of the expected output, and in the application_name."""
        return self.path.name.removesuffix(".spec")

    def queries(self) -> Iterator[str]:
        """Yield all queries of the control connection and of the sessions."""
        yield from self.setups
        for session in self.sessions:
            yield from filter(None, (session.setup, *(step.sql for step in session.steps), session.teardown))
        if self.teardown is not None:
            yield self.teardown

    def unused(self) -> list[str]:
        """Return the names of the steps that no written permutation uses, in byte order."""
        used = {entry.step.name for permutation in self.written for entry in permutation}
        names = {step.name for session in self.sessions for step in session.steps} if self.written else set()
        return sorted(names - used, key=encoded)

    def permutations(self) -> Iterator[Permutation]:
        """Yield the written permutations, or all interleavings, first those that begin with the first session."""
        if self.written:
            yield from self.written
        else:
            yield from _interleaved([tuple(map(PermutationStep, session.steps)) for session in self.sessions])


def _interleaved(piles: list[tuple[PermutationStep, ...]]) -> Iterator[Permutation]:
    """Yield all interleavings in order, without recursion, because there may be thousands of steps."""
    choices = [number for number, pile in enumerate(piles) for _ in pile]
    while True:
        remaining = list(map(iter, piles))
        yield tuple(next(remaining[number]) for number in choices)
        # the next permutation in order: increase the last choice that can be, then sort the rest
        at = next((at for at in range(len(choices) - 1, 0, -1) if choices[at - 1] < choices[at]), 0)
        if not at:
            return
        greater = next(i for i in range(len(choices) - 1, at - 1, -1) if choices[i] > choices[at - 1])
        choices[at - 1], choices[greater] = choices[greater], choices[at - 1]
        choices[at:] = reversed(choices[at:])
