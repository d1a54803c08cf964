"""The order in which steps are launched and reported, as in isolationtester. Pure: the caller waits.

`PermutationOrder` yields acts. Its caller answers `AwaitStep` with whether the query is over, and passes notices to
`add_notice`. The rules are those of run_permutation, try_complete_step and try_complete_steps in PostgreSQL's
isolationtester.c, so the output is the same if the answers are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from pgchaos.isolation.model import Permutation, PermutationStep, Step


@dataclass(frozen=True, slots=True)
class Launch:
    """Send the query of a step; its session is free."""

    step: Step


@dataclass(frozen=True, slots=True)
class AwaitStep:
    """Wait until a step is over; the answer is True."""

    step: Step  # its query runs, or is already over
    locks: bool  # the wait may also end because another session blocks the step; then the answer is False
    first: bool  # it was just launched


@dataclass(frozen=True, slots=True)
class Report:
    """Print a step."""

    step: Step
    waiting: bool  # report it as waiting; otherwise it is over, and its results follow
    first: bool  # this is its first line


@dataclass(frozen=True, slots=True)
class AwaitEvent:
    """Wait for an event: the session of the next step is busy, and other steps delay the report of its last step."""

    step: Step  # the last step of that session


@dataclass(frozen=True, slots=True)
class Stalled:
    """The last act: nothing more can be reported, because the steps delay each other's reports."""

    steps: tuple[Step, ...]  # the steps that are over, but not reported


Act: TypeAlias = Launch | AwaitStep | Report | AwaitEvent | Stalled
Acts: TypeAlias = Generator[Act, bool, None]
_Tried: TypeAlias = Generator[Act, bool, bool]


class PermutationOrder:
    """Runs one permutation."""

    def __init__(self, permutation: Permutation) -> None:
        self._permutation = permutation
        self._active: dict[int, PermutationStep] = {}
        self._waiting: list[PermutationStep] = []
        self._notices: Counter[int] = Counter()
        self._targets: dict[int, tuple[int, ...]] = {}
        self._notified = False

    def add_notice(self, session: int) -> None:
        """Count a notice of a session, by its index."""
        self._notices[session] += 1
        self._notified = True

    def unfinished(self) -> list[Step]:
        """Return the steps that were launched and not reported as complete, ordered by session."""
        return [entry.step for _, entry in sorted(self._active.items())]

    def acts(self) -> Acts:
        """Yield the acts that the caller must do."""
        for entry in self._permutation:
            yield from self._free(entry.step.session)
            yield Launch(entry.step)
            self._active[entry.step.session] = entry
            self._targets[entry.step.session] = tuple(
                blocker.notices + self._notices[blocker.step.session] for blocker in entry.blockers
            )
            over = yield from self._try(entry, locks=True, first=True)
            yield from self._try_all(locks=True)
            if not over:
                self._waiting.append(entry)
        yield from self._try_all(locks=False)
        if self._waiting:
            yield Stalled(tuple(entry.step for entry in self._waiting))

    def _free(self, session: int) -> Acts:
        """Wait until a session can take its next step."""
        while (old := self._active.get(session)) is not None:
            before = len(self._waiting)
            if (yield from self._try(old, locks=False, first=False)):
                self._waiting.remove(old)
            yield from self._try_all(locks=True)
            if session in self._active and len(self._waiting) == before:
                yield AwaitEvent(old.step)

    def _try(self, entry: PermutationStep, *, locks: bool, first: bool) -> _Tried:
        """Try to complete a step; return whether it is complete."""
        waits = first and entry.once
        waits = waits or not (yield AwaitStep(entry.step, locks, first)) or self._is_delayed(entry)
        if waits:
            if first:
                yield Report(entry.step, waiting=True, first=True)
            return False
        yield Report(entry.step, waiting=False, first=first)
        del self._active[entry.step.session]
        return True

    def _try_all(self, *, locks: bool) -> Acts:
        """Try to complete the waiting steps, and repeat this while one may have released another."""
        again = True
        while again:
            self._notified, before, marked = False, len(self._waiting), False
            for entry in list(self._waiting):
                if (yield from self._try(entry, locks=locks, first=False)):
                    self._waiting.remove(entry)
                else:
                    marked = marked or entry.once or bool(entry.blockers)
            again = marked and (len(self._waiting) < before or self._notified)

    def _is_delayed(self, entry: PermutationStep) -> bool:
        for blocker, target in zip(entry.blockers, self._targets[entry.step.session], strict=True):
            if blocker.notices:
                if self._notices[blocker.step.session] < target:
                    return True
            else:
                other = self._active.get(blocker.step.session)
                if other is not None and other.step is blocker.step:
                    return True
        return False
