"""Counts the runs of one item, for the progress line and the summary after an interrupt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgchaos.schedule.token import LONGEST_SHOWN, Token

if TYPE_CHECKING:
    from pgchaos.results import RunResult


@dataclass(slots=True)
class ItemProgress:
    """The runs of one item so far."""

    item: str
    fingerprint: str  # of its tokens
    interleavings: bool  # a run is one interleaving of a search
    has_failed: Callable[[RunResult], bool]  # other than by an expected failure
    shrinks: bool = False  # it simplifies a failure
    runs: int = 0
    limit: int = 0  # runs at most
    failed: int = 0
    first_failed: RunResult | None = None

    def add(self, result: RunResult, limit: int) -> None:
        """Count a run that has ended, and update the number of runs at most."""
        self.runs += 1
        self.limit = limit
        if self.has_failed(result):
            self.failed += 1
            self.first_failed = self.first_failed or result

    def activity(self, runs: int, limit: int) -> str:
        """Describe in a few words what a search is doing, after `runs` runs of at most `limit`."""
        if self.shrinks and self.failed:
            return f"shrinking the failure, run {runs:,}"
        unit = "interleavings" if self.interleavings else "runs"
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"searching {runs:,} of {limit:,} {unit}{failed}"

    def summary(self, seed: int) -> str:
        """Describe the stopped item in one line: what it had found, and the token of the first failure."""
        first = self.first_failed
        reason = f" ({first.failures[0].text})" if first is not None and first.failures else ""
        failed = f"{self.failed} failed{reason}" if self.failed else "none failed"
        unit = "interleavings" if self.interleavings else "runs"
        if self.limit > 1:
            state = f"stopped after {self.runs} of {self.limit} {unit}, {failed}"
        elif self.failed:
            state = f"stopped after it failed{reason}"
        else:
            state = "stopped in its first run"
        return f"{self.item}: {state}, seed {seed}{self._token()}"

    def _token(self) -> str:
        first = self.first_failed
        if first is None or first.decisions is None:
            return ""
        token = str(Token(self.fingerprint, first.seed, first.decisions, first.values))
        return f", --chaos-replay={token}" if len(token) <= LONGEST_SHOWN else ""
