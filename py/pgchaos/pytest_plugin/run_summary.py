"""What the end of a run says of all scenarios: the slowest, those that were skipped, notes, the oracle's table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from pgchaos.pytest_plugin.item_texts import RUN
from pgchaos.pytest_plugin.scenario_item import NOTE, ORACLE, REPEATED, SEARCHED, ScenarioItem

# The attribute of a report that is a scenario's or a spec's: the seconds it took, None where it was not run.
SECONDS = "chaos_seconds"

_SKIPPED = re.compile(r"Skipped: (?P<reason>[^\n]*)")
_PLACE = re.compile(r"(?P<place>[^\n]+?:[0-9]+): (?P<text>.+)", re.DOTALL)
_SLOW = 1.0  # seconds; quicker scenarios are not slow
_SLOWEST = 3
_PLACES = 3  # of a note that several scenarios have


def mark_report(report: pytest.TestReport, item: ScenarioItem) -> None:
    """Mark the report of an item, so that the main process knows it."""
    if not item.in_subtest:
        setattr(report, SECONDS, item.took)


def level_lines(findings: Sequence[str]) -> list[str]:
    """The table of what the oracle found, from the reports' properties; nothing where there are none."""
    if not findings:
        return []
    from pgchaos.report.level_table import LevelFinding, level_table

    return list(level_table(map(LevelFinding.loads, findings)))


def properties(reports: Iterable[object]) -> list[tuple[str, str]]:
    """Give the properties of all reports."""
    return [pair for report in reports for pair in getattr(report, "user_properties", ())]


def summary(stats: Mapping[str, Sequence[object]], *, durations: bool) -> list[str]:
    """Sum up the reports of a run: searches, repeated runs, notes, what was skipped, and what was slow.

    With `durations`, pytest itself lists the slowest tests.
    """
    reports = [report for found in stats.values() for report in found]
    texts = properties(reports)
    searched = dict.fromkeys(text for name, text in texts if name == SEARCHED)
    return [
        *(f"explored: {text}" for text in searched),
        *(f"repeated: {text}" for text in dict.fromkeys(text for name, text in texts if name == REPEATED)),
        *note_lines(text for name, text in texts if name == NOTE),
        *skipped_lines(stats.get("skipped", ())),
        *([] if durations else slowest_lines(reports)),
    ]


def oracle_lines(stats: Mapping[str, Sequence[object]]) -> list[str]:
    """Write the table of what the oracle found at each isolation level."""
    reports = [report for found in stats.values() for report in found]
    return level_lines([text for name, text in properties(reports) if name == ORACLE])


def note_lines(notes: Iterable[str]) -> list[str]:
    """Write each note once; where several files have the same, with how many and where."""
    places: dict[str, dict[str, None]] = {}
    for note in notes:
        found = _PLACE.fullmatch(note)
        place, text = (found["place"], found["text"]) if found else ("", note)
        places.setdefault(text, {})[place] = None
    lines = []
    for text, at in places.items():
        named = [place for place in at if place]
        if len(named) < 2:
            lines.append(f"note: {': '.join([*named, text])}")
            continue
        more = f", and {len(named) - _PLACES} more" if len(named) > _PLACES else ""
        lines.append(f"note: in {len(named)} places: {text} ({', '.join(named[:_PLACES])}{more})")
    return lines


def skipped_lines(reports: Iterable[object]) -> list[str]:
    """Say why items were skipped, one line for each reason, with how many and where."""
    folders: dict[str, list[str]] = {}
    for report in reports:
        longrepr, nodeid = getattr(report, "longrepr", None), getattr(report, "nodeid", "")
        if not isinstance(longrepr, tuple) or not (found := _SKIPPED.match(str(longrepr[2]))):
            continue
        # a test in Python is told of only where the server lacks something: pytest's -rs is for the others
        if hasattr(report, SECONDS) or found["reason"].startswith("requires "):
            folders.setdefault(found["reason"], []).append(str(Path(nodeid.partition("::")[0]).parent))
    return [f"skipped: {len(found)} in {_common(found)}: {reason}" for reason, found in sorted(folders.items())]


def slowest_lines(reports: Iterable[object]) -> list[str]:
    """Name the slowest scenarios, where some are slow."""
    took: dict[str, float] = {}
    for report in reports:
        # an item has a report for each of its assertions, too
        nodeid = getattr(report, "nodeid", "")
        took[nodeid] = max(took.get(nodeid, 0.0), getattr(report, SECONDS, None) or 0.0)
    slow = sorted(((seconds, nodeid) for nodeid, seconds in took.items() if seconds >= _SLOW), reverse=True)
    return [f"slowest: {seconds:.1f} s {nodeid}" for seconds, nodeid in slow[:_SLOWEST]] if len(took) > 1 else []


def shown_runs(stats: Mapping[str, Sequence[pytest.TestReport]]) -> list[tuple[pytest.TestReport, str]]:
    """Give the reports of runs that passed, which their items have with --chaos-show, with their texts."""
    reports = [report for outcome in ("passed", "xfailed") for report in stats.get(outcome, ())]
    return [(report, text) for report in reports for name, text in report.sections if name == f"Captured {RUN} call"]


def _common(folders: list[str]) -> str:
    try:
        return os.path.commonpath(folders) or "."
    except ValueError:  # some are outside the project
        return "several folders"
