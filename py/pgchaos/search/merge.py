"""What many permutations of one scenario come to: one result that tells of all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pgchaos.results import Assertion, Failure, Permutations, RunResult
from pgchaos.schedule.permutations import switches
from pgchaos.schedule.wait_rules import Actor
from pgchaos.tap import failure_of

_Key = tuple[str, tuple[str, ...], str]


def key_of(failure: Failure) -> _Key:
    """Tell failures apart: by their names, or else by what they say; what was not run, by its line."""
    told = f"{failure.place}: {failure.text}" if failure.kind == "not run" else failure.text
    return failure.kind, failure.names, "" if failure.names else told


class ResultMerger:
    """Takes the results of runs, and keeps the clearest failure, what else failed, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self._failed = 0
        self._best: RunResult | None = None
        self._others: dict[_Key, Failure] = {}
        self._asserted: dict[str, list[Assertion]] = {}
        self._duration = 0.0

    def add(self, result: RunResult) -> None:
        """Take the result of one permutation.

        Args:
            result: of the next in order.
        """
        self.count += 1
        self._duration += result.duration
        for number, assertion in enumerate(result.assertions, 1):
            self._asserted.setdefault(assertion.name or f"test {number}", []).append(assertion)
        self._failed += bool(result.failures)
        for failure in result.failures:
            self._others.setdefault(key_of(failure), failure)
        if self._best is None or _rank(result) < _rank(self._best):
            self._best = result

    def has_failed_by(self, kinds: Collection[str]) -> bool:
        """Say whether one of them failed in some way."""
        return any(failure.kind in kinds for failure in self._others.values())

    def result(self, *, exhausted: bool, best: RunResult | None = None) -> RunResult:
        """Tell what they come to.

        Args:
            exhausted: there are no more permutations than these.
            best: the one to tell of, where it is known; it need not be one of those that were added.

        Returns:
            The result of the permutation that failed with the fewest context switches, its assertions, notices and
            counts its own, with what failed in others only behind its own failures. Where none failed that of the
            first, with the assertions of all of them counted, and no decisions: no token shall single it out.

        Raises:
            ValueError: nothing was run.
        """
        best = best or self._best
        if best is None:
            raise ValueError("no permutation was run")
        own = {key_of(failure) for failure in best.failures}
        best.failures += [
            replace(failure, details=(*failure.details, "(in another permutation than the one below)"))
            for key, failure in self._others.items()
            if key not in own
        ]
        if not best.failures:
            best.assertions = [_counted(name, told) for name, told in self._asserted.items()]
            best.decisions = None
        best.duration = self._duration
        best.permutations = Permutations(self.count, self._failed, exhausted)
        return best


def _rank(result: RunResult) -> tuple[bool, int, int]:
    """Order results: those that failed first, and the easiest to read of these."""
    taken = [Actor(step.session, step.worker) for step in result.order]
    return not result.failures, switches(taken) if result.failures else 0, len(taken) if result.failures else 0


def _counted(name: str, told: list[Assertion]) -> Assertion:
    failed = [assertion for assertion in told if failure_of(assertion) is not None]
    if len(told) == 1:
        return told[0]
    chosen = failed[0] if failed else told[0]
    return replace(chosen, name=name, count=f"in {len(told) - len(failed)} of {len(told)} permutations")
