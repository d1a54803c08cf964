"""Joins the results of many permutations of one scenario."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pgchaos.results import Assertion, Failure, Permutations, RunResult
from pgchaos.schedule.permutations import switches
from pgchaos.schedule.wait_rules import Actor
from pgchaos.tap import failure_of

_Key = tuple[str, tuple[str, ...], str]


def failure_key(failure: Failure) -> _Key:
    """Identify a failure by its names, else by its text; an assertion that was not run also by its line."""
    text = f"{failure.place}: {failure.text}" if failure.kind == "not run" else failure.text
    return failure.kind, failure.names, "" if failure.names else text


class ResultMerger:
    """Collects the results of runs: the clearest failure, the other failures, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self._failed = 0
        self._best: RunResult | None = None
        self._failures: dict[_Key, Failure] = {}
        self._assertions: dict[str, list[Assertion]] = {}
        self._duration = 0.0

    def add(self, result: RunResult) -> None:
        """Add the result of the next permutation."""
        self.count += 1
        self._duration += result.duration
        for number, assertion in enumerate(result.assertions, 1):
            self._assertions.setdefault(assertion.name or f"test {number}", []).append(assertion)
        self._failed += bool(result.failures)
        for failure in result.failures:
            self._failures.setdefault(failure_key(failure), failure)
        if self._best is None or _rank(result) < _rank(self._best):
            self._best = result

    def has_failed_by(self, kinds: Collection[str]) -> bool:
        """Whether a permutation had a failure of one of these kinds."""
        return any(failure.kind in kinds for failure in self._failures.values())

    def result(self, *, exhausted: bool, best: RunResult | None = None) -> RunResult:
        """Join the results.

        Args:
            exhausted: there are no more permutations than these.
            best: the one to report, if it is known; it need not be one of those that were added.

        Returns:
            The result of the failed permutation with the fewest context switches, followed by the failures of others.
            If none failed, that of the first, with the assertions of all of them counted, and without decisions: a
            token for one of them would be misleading.

        Raises:
            ValueError: nothing was run.
        """
        best = best or self._best
        if best is None:
            raise ValueError("no permutation was run")
        own = {failure_key(failure) for failure in best.failures}
        others = [
            replace(failure, details=(*failure.details, "(in another interleaving than the one below)"))
            for key, failure in self._failures.items()
            if key not in own
        ]
        joined = replace(
            best.joined(failures=others),
            duration=self._duration,
            permutations=Permutations(self.count, self._failed, exhausted),
        )
        if joined.failures:
            return joined
        counted = [_counted(name, several) for name, several in self._assertions.items()]
        return replace(joined, assertions=counted, decisions=None)


def _rank(result: RunResult) -> tuple[bool, int, int]:
    """Order results: failed ones first, the simplest of these first."""
    taken = [Actor(step.session, step.worker) for step in result.order]
    return not result.failures, switches(taken) if result.failures else 0, len(taken) if result.failures else 0


def _counted(name: str, several: list[Assertion]) -> Assertion:
    if len(several) == 1:
        return several[0]
    failed = [assertion for assertion in several if failure_of(assertion) is not None]
    count = f"in {len(several) - len(failed)} of {len(several)} interleavings"
    return replace(failed[0] if failed else several[0], name=name, count=count)
