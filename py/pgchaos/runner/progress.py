"""How far the run of an item has come: what is said of it where the user stops it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgchaos.schedule.token import Token

if TYPE_CHECKING:
    from pgchaos.results import RunResult

_LONGEST_TOKEN = 200
"""Characters of a token that stands within a line."""


@dataclass(slots=True)
class Progress:
    """The runs of one item so far.

    Args:
        item: its id.
        fingerprint: that a token must have to replay one of its runs.
        interleavings: a run is one interleaving of a search.
        found: says of a run whether it failed in a way that is not known.
        runs: that have ended.
        limit: runs at most.
        failed: of those that have ended.
        first: the first that failed.
    """

    item: str
    fingerprint: str
    interleavings: bool
    found: Callable[[RunResult], bool]
    runs: int = 0
    limit: int = 0
    failed: int = 0
    first: RunResult | None = None

    def add(self, result: RunResult, limit: int) -> None:
        """Count a run.

        Args:
            result: what it left behind.
            limit: runs at most, as far as is known now.
        """
        self.runs += 1
        self.limit = limit
        if self.found(result):
            self.failed += 1
            self.first = self.first or result

    def stopped(self, seed: int) -> str:
        """Say that it was stopped, and what was known by then.

        Args:
            seed: of everything random.

        Returns:
            One line.
        """
        failure = "" if self.first is None or not self.first.failures else f" ({self.first.failures[0].text})"
        failed = f"{self.failed} failed{failure}" if self.failed else "none failed"
        unit = "interleavings" if self.interleavings else "runs"
        if self.limit > 1:
            after = f"stopped after {self.runs} of {self.limit} {unit}, {failed}"
        elif self.failed:
            after = f"stopped when it had failed{failure}"
        else:
            after = "stopped in its first run"
        return f"{self.item}: {after}, seed {seed}{self._token(seed)}"

    def _token(self, seed: int) -> str:
        if self.first is None or self.first.decisions is None or not self.failed:
            return ""
        token = str(Token(self.fingerprint, seed, self.first.decisions, self.first.values))
        return f", --chaos-replay={token}" if len(token) <= _LONGEST_TOKEN else ""
