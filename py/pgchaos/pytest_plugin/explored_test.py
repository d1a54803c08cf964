"""The entry of a test with `chaos_explore` in report files: the run that its search reports, like a scenario's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgchaos.pytest_plugin.reports import shown_path
from pgchaos.report.export.scenario_data import ItemData, plain_data, scenario_data
from pgchaos.report.export.timeline_data import without_empty
from pgchaos.safe_output import printable

if TYPE_CHECKING:
    from pgchaos.language.model import Scenario
    from pgchaos.report.export.timeline_data import Data
    from pgchaos.results import RunResult

_FIXTURE = "chaos_explore"
_OF_PYTEST = frozenset({"parametrize", "usefixtures", "filterwarnings", "skipif", "skip", "xfail"})
"""Markers that are not tags."""


@dataclass(frozen=True, slots=True)
class ExploredCall:
    """One call of chaos_explore, after its search."""

    scenario: Scenario  # made from its arguments
    result: RunResult  # of the run that the search reports
    line: int  # of the call, from 1
    failed: bool  # it failed the test
    again: str  # the command that searches again
    token: str  # the command that replays the interleaving that failed, or ''


class ExploredCalls:
    """The calls of one test; the first failed one is shown, else the last."""

    def __init__(self) -> None:
        self.shown: ExploredCall | None = None
        self.made = 0

    def add(self, call: ExploredCall) -> None:
        """Add a finished call."""
        self.made += 1
        if self.shown is None or not self.shown.failed:
            self.shown = call


_CALLS = pytest.StashKey[ExploredCalls]()


def record_calls(item: pytest.Item) -> ExploredCalls | None:
    """Start to record the calls of a test; None if no report file is written."""
    if not item.config.pluginmanager.has_plugin("pgchaos files"):
        return None
    item.stash[_CALLS] = ExploredCalls()
    return item.stash[_CALLS]


def forget_calls(item: pytest.Item) -> None:
    """Free the results of a test that has ended."""
    if _CALLS in item.stash:
        del item.stash[_CALLS]


def explores(item: pytest.Item) -> bool:
    """Whether a test uses the fixture, by name or at run time."""
    return _FIXTURE in getattr(item, "fixturenames", ()) or _CALLS in item.stash


def explored_data(item: pytest.Item, report: pytest.TestReport, verdict: str, text: str) -> Data:
    """Convert a test that uses the fixture to `scenario` of the schema, with its file as the source."""
    calls = item.stash.get(_CALLS, ExploredCalls())
    call, source = calls.shown, _text_of(item.path)
    known = ItemData(
        id=item.nodeid,
        verdict=verdict,
        file=shown_path(item.path, item.config),
        line=_line(item, report, call),
        seconds=report.duration,
        text=text,
        again=call.again if call else "",
        token=call.token if call else "",
    )
    tags = sorted({mark.name for mark in item.iter_markers()} - _OF_PYTEST)
    if call is None:
        data = plain_data(known, item.name, tags, source)
    else:
        data = scenario_data(known, replace(call.scenario, source=source, tags=frozenset(tags)), None, {}, call.result)
    if report.failed and not data.get("failures"):
        data["failures"] = _raised(item, report)
    if call is not None and calls.made > 1:
        which = "the one that failed" if call.failed else "the last"
        data["notes"] = [*data.get("notes", ()), f"the test called chaos_explore {calls.made} times: this is {which}"]
    return without_empty(data)


def _raised(item: pytest.Item, report: pytest.TestReport) -> list[Data]:
    """Return the failure of the test outside its calls: an assertion, an exception, or a fixture."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return []
    message = crash.message.partition("\n")[0]
    kind = "assertion" if message.startswith(("assert ", "AssertionError", "Failed: ")) else "error"
    text = printable(message.removeprefix("AssertionError: "))
    return [{"kind": kind, "text": text, "file": shown_path(Path(crash.path), item.config), "line": crash.lineno}]


def _line(item: pytest.Item, report: pytest.TestReport, call: ExploredCall | None) -> int:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None and Path(crash.path) == item.path:
        return int(crash.lineno)
    return call.line if call else (item.location[1] or 0) + 1


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
