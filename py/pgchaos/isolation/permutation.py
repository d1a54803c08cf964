"""The order in which steps are launched and reported: isolationtester's, told apart from all waiting.

A `Play` is a generator of acts. Whoever drives it sends back, for a `Look`, whether the query is over; it tells the
notices of each session by `heard`. The rules are those of run_permutation, try_complete_step and try_complete_steps in
PostgreSQL's isolationtester.c, so that the output is the same as soon as "over" and "blocked" are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from pgchaos.isolation.model import Permutation, Step, Turn


@dataclass(frozen=True, slots=True)
class Launch:
    """Send the query of a step; its session is free."""

    step: Step


@dataclass(frozen=True, slots=True)
class Look:
    """Wait until a step is over; answered by True.

    Args:
        step: whose query runs, or is over already.
        locks: be content where it is blocked by another session: answered by False.
        first: it was launched just now.
    """

    step: Step
    locks: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Report:
    """Print a step.

    Args:
        step: which.
        waiting: it is reported as waiting; else it is over, and its results follow.
        first: this is its first line.
    """

    step: Step
    waiting: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """Wait for news: the next step's session is busy, and the report of what it does is held by others.

    Args:
        step: that holds up the permutation.
    """

    step: Step


@dataclass(frozen=True, slots=True)
class Stalled:
    """Nothing more can be reported: the steps hold each other's reports. It is the last act.

    Args:
        steps: that are over, and not reported.
    """

    steps: tuple[Step, ...]


Act: TypeAlias = Launch | Look | Report | Rest | Stalled
Acts: TypeAlias = Generator[Act, bool, None]
_Tried: TypeAlias = Generator[Act, bool, bool]


class Play:
    """One permutation.

    Args:
        permutation: its steps in order.
    """

    def __init__(self, permutation: Permutation) -> None:
        self._permutation = permutation
        self._active: dict[int, Turn] = {}
        self._waiting: list[Turn] = []
        self._notices: Counter[int] = Counter()
        self._targets: dict[int, tuple[int, ...]] = {}
        self._news = False

    def heard(self, session: int) -> None:
        """Take note of a notice.

        Args:
            session: the index of the session that it came from.
        """
        self._notices[session] += 1
        self._news = True

    def running(self) -> list[Step]:
        """List the steps that were launched and not reported as complete, by session."""
        return [turn.step for _, turn in sorted(self._active.items())]

    def acts(self) -> Acts:
        """Play the permutation.

        Yields:
            What is to be done next.
        """
        for turn in self._permutation:
            yield from self._free(turn.step.session)
            yield Launch(turn.step)
            self._active[turn.step.session] = turn
            self._targets[turn.step.session] = tuple(
                blocker.notices + self._notices[blocker.step.session] for blocker in turn.blockers
            )
            over = yield from self._try(turn, locks=True, first=True)
            yield from self._try_all(locks=True)
            if not over:
                self._waiting.append(turn)
        yield from self._try_all(locks=False)
        if self._waiting:
            yield Stalled(tuple(turn.step for turn in self._waiting))

    def _free(self, session: int) -> Acts:
        """Wait until a session can take its next step."""
        while (old := self._active.get(session)) is not None:
            before = len(self._waiting)
            if (yield from self._try(old, locks=False, first=False)):
                self._waiting.remove(old)
            yield from self._try_all(locks=True)
            if session in self._active and len(self._waiting) == before:
                yield Rest(old.step)

    def _try(self, turn: Turn, *, locks: bool, first: bool) -> _Tried:
        """Try to complete a step; say whether it is."""
        held = first and turn.once
        held = held or not (yield Look(turn.step, locks, first)) or self._held(turn)
        if held:
            if first:
                yield Report(turn.step, waiting=True, first=True)
            return False
        yield Report(turn.step, waiting=False, first=first)
        del self._active[turn.step.session]
        return True

    def _try_all(self, *, locks: bool) -> Acts:
        """Try to complete what is waiting, again while one may have let go another."""
        again = True
        while again:
            self._news, before, marked = False, len(self._waiting), False
            for turn in list(self._waiting):
                if (yield from self._try(turn, locks=locks, first=False)):
                    self._waiting.remove(turn)
                else:
                    marked = marked or turn.once or bool(turn.blockers)
            again = marked and (len(self._waiting) < before or self._news)

    def _held(self, turn: Turn) -> bool:
        for blocker, target in zip(turn.blockers, self._targets[turn.step.session], strict=True):
            if blocker.notices:
                if self._notices[blocker.step.session] < target:
                    return True
            else:
                other = self._active.get(blocker.step.session)
                if other is not None and other.step is blocker.step:
                    return True
        return False
