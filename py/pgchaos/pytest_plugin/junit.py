"""What JUnit's file says of scenarios: their properties, and how many there are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgchaos.safe_output import one_line
from pgchaos.schedule.token import Token

if TYPE_CHECKING:
    from pgchaos.results import RunResult

_TESTS = re.compile(r'(<testsuite\b[^>]*?\btests=")([0-9]+)(?=")')
ASSERTION = "chaos_assertion"
"""The attribute of a report that tells of one assertion of a scenario."""


def properties(title: str, result: RunResult, fingerprint: str) -> list[tuple[str, str]]:
    """Give what a run is looked up and run again by."""
    found = [("title", title), ("seed", str(result.seed)), ("server", result.server)]
    if result.decisions is not None and fingerprint:
        found.append(("token", str(Token(fingerprint, result.seed, result.decisions, result.values))))
    return [(name, one_line(value)) for name, value in found if value]


class ScenarioCount:
    """Has JUnit's file count a scenario once: pytest counts each of its assertions beside it, as a subtest.

    Args:
        path: of the file, as pytest was given it.
    """

    def __init__(self, path: str) -> None:
        # as pytest itself reads it, in the folder where it was started
        self._path = Path(os.path.expandvars(path)).expanduser().absolute()
        self._assertions = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the reports of assertions."""
        self._assertions += bool(getattr(report, ASSERTION, False))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Take them out of the number of tests, once the file is written."""
        if not self._assertions or not self._path.is_file():
            return
        text = self._path.read_text(encoding="utf-8")
        self._path.write_text(
            _TESTS.sub(lambda found: found[1] + str(int(found[2]) - self._assertions), text, count=1), encoding="utf-8"
        )
