"""The check of a run: a section whose rows are TAP, with a plan and an end of our own where it has none."""

from __future__ import annotations

import re
from collections.abc import Callable

from pgchaos.engine.section import Hear, Section
from pgchaos.history import Failure, RunResult
from pgchaos.scenario.items import Item, Statement
from pgchaos.tap import TapParser, failures_of

_NO_PLAN = "SELECT no_plan()"
_PLAN = re.compile(r"\b(?:no_)?plan\s*\(", re.IGNORECASE)
_FINISH = re.compile(r"\bfinish\s*\(", re.IGNORECASE)


class Check:
    """The check of one run.

    Args:
        section: makes its section, which gives what it hears to the function that it is given.
        items: of the file, those that are in force.
        plain: the file has no directives: what it does not say is not said for it, and it may skip itself.
        share: seconds that it may take.
        result: takes its assertions, and what failed.
    """

    def __init__(
        self, section: Callable[[Hear], Section], items: list[Item], *, plain: bool, share: float, result: RunResult
    ) -> None:
        self._tap = TapParser()
        self.section = section(self._tap.feed)
        self.items, self._plain, self._share, self._result = items, plain, share, result
        self._plans = plain or _says(items, _PLAN)

    def begin(self) -> None:
        """Send our plan ahead, where there is to be one: the server makes pgTAP's tables meanwhile."""
        if self.items and not self._plans:
            self.section.begin(_NO_PLAN)

    def run(self) -> bool:
        """Run it, and say whether it came to its end."""
        try:
            failure = self._run()
        finally:
            self.close()
        report = self._tap.close(stopped=failure is not None)
        if self._plain:
            self._result.skipped = report.skipped
        self._result.assertions += report.assertions
        self._result.failures += failures_of(report)
        if failure is not None:
            self._result.failures.append(failure)
        return failure is None

    def _run(self) -> Failure | None:
        failure = None if self._plans else self.section.ask(_NO_PLAN, None, self._share)
        failure = failure or self.section.run(self.items, self._share)
        if failure is None and not (self._plain or _says(self.items, _FINISH)):
            failure = self.section.ask("SELECT * FROM finish()", self.items[-1].place, self._share)
        return failure

    def close(self) -> None:
        """End its connection; doing so again does nothing."""
        self.section.close()


def _says(items: list[Item], what: re.Pattern[str]) -> bool:
    return any(isinstance(item, Statement) and what.search(item.text) for item in items)
