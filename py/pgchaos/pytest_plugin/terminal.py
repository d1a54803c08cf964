"""Shows scenarios on the terminal: failures with colours and box characters, and a summary at the end."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pgchaos.pytest_plugin.scenario_item import NOTE, ORACLE, REPEATED, RUN, SEARCHED, ScenarioItem
from pgchaos.pytest_plugin.stash import BANNERS, OPTIONS, RUNNER
from pgchaos.report.formatting import BOXES
from pgchaos.safe_output import one_line

# The attribute of a scenario's or spec's report with its duration in seconds; None if it did not run.
SECONDS = "chaos_seconds"
_SKIPPED = re.compile(r"Skipped: (?P<reason>[^\n]*)")
_PLACE = re.compile(r"(?P<place>[^\n]+?:[0-9]+): (?P<text>.+)", re.DOTALL)
_SLOW = 1.0  # seconds
_SLOWEST = 3
_PLACES = 3  # that are listed for a note of several scenarios
# The attribute of a report with the text of a failure, or of a run with --chaos-show, with box characters.
_BOXED = "chaos_boxed"


def mark_report(report: pytest.TestReport, item: ScenarioItem) -> None:
    """Add to the report of an item what the main process needs to show it."""
    if item.in_subtest:
        return
    setattr(report, SECONDS, item.duration)
    if item.boxed is not None:
        setattr(report, _BOXED, item.boxed)


def has_boxes(config: pytest.Config) -> bool:
    """Whether the terminal has colours and box characters: not a pipe, NO_COLOR, or an encoding without these."""
    if not config.pluginmanager.has_plugin("terminalreporter"):
        return False
    writer = config.get_terminal_writer()
    encoding = getattr(writer._file, "encoding", None) or "ascii"
    try:
        "".join(BOXES).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return bool(writer.hasmarkup)


class StyledFailure:
    """The text of a failure for pytest's report: with colours on the terminal, plain for all other readers."""

    def __init__(self, plain: Any, boxed: str) -> None:  # noqa: ANN401 pytest has no public name for it
        self._plain, self._boxed = plain, boxed

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 as above
        return getattr(self._plain, name)

    def __str__(self) -> str:
        return str(self._plain)

    def toterminal(self, writer: Any) -> None:  # noqa: ANN401 pytest's TerminalWriter has no public name
        """Write the text to the terminal."""
        if not writer.hasmarkup:
            self._plain.toterminal(writer)
            return
        from pgchaos.report.styled import styled

        for line in styled(self._boxed).split("\n"):
            writer.line(line)


class TerminalReports:
    """Shows scenarios in pytest's own reports, in its main process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Make pytest show a failure with colours, if the terminal has any."""
        boxed = getattr(report, _BOXED, None)
        if boxed is not None and report.failed and hasattr(report.longrepr, "toterminal"):
            report.longrepr = StyledFailure(report.longrepr, boxed)  # type: ignore[assignment]  # it acts as one

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Write stopped items, the workers' servers, runs that passed, the oracle's table, and the summary."""

        def write(lines: Iterable[str]) -> None:
            for line in lines:
                terminalreporter.write_line(one_line(line))

        config, stats = self._config, terminalreporter.stats
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            write(config.stash[RUNNER].unfinished)
        write(f"server of {worker}: {banner}" for worker, banner in sorted(config.stash[BANNERS].items()))
        self._show_passed(terminalreporter)
        write(oracle_lines(stats))
        if config.get_verbosity() >= 0:
            lines = summary(stats, durations=config.getoption("durations", None) is not None)
            if lines and (stats.get("failed") or stats.get("error") or shown_runs(stats)):
                lines.insert(0, "")  # to separate them from the text before
            write(lines)

    def _show_passed(self, terminalreporter: pytest.TerminalReporter) -> None:
        """With --chaos-show, write the reports of runs that passed."""
        if "P" in terminalreporter.reportchars:
            return  # pytest itself writes them
        runs = shown_runs(terminalreporter.stats)
        if runs:
            terminalreporter.write_sep("=", "SCENARIOS THAT PASSED")
        for report, text in runs:
            terminalreporter.write_sep("_", one_line(report.head_line or report.nodeid))
            terminalreporter.write_line(self._styled(report, text))

    def _styled(self, report: pytest.TestReport, text: str) -> str:
        if not self._config.stash[OPTIONS].boxes:
            return text
        from pgchaos.report.styled import styled

        return styled(getattr(report, _BOXED, text))


# the summary


def properties(reports: Iterable[object]) -> list[tuple[str, str]]:
    """Return the properties of all reports."""
    return [pair for report in reports for pair in getattr(report, "user_properties", ())]


def summary(stats: Mapping[str, Sequence[object]], *, durations: bool) -> list[str]:
    """Summarize the reports of a run: searches, repeated runs, notes, skipped and slow items.

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
    findings = [text for name, text in properties(reports) if name == ORACLE]
    if not findings:
        return []
    from pgchaos.report.level_table import LevelFinding, level_table

    return level_table(map(LevelFinding.loads, findings))


def note_lines(notes: Iterable[str]) -> list[str]:
    """Write each note once; if several files have the same, with their number and their places."""
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
    """Write why items were skipped: a line for each reason, with the number of items and their folder."""
    folders: dict[str, list[str]] = {}
    for report in reports:
        longrepr, nodeid = getattr(report, "longrepr", None), getattr(report, "nodeid", "")
        if not isinstance(longrepr, tuple) or not (found := _SKIPPED.match(str(longrepr[2]))):
            continue
        # of tests in Python, only those for which the server lacks something: pytest's -rs shows the others
        if hasattr(report, SECONDS) or found["reason"].startswith("requires "):
            folders.setdefault(found["reason"], []).append(str(Path(nodeid.partition("::")[0]).parent))
    return [f"skipped: {len(found)} in {_common(found)}: {reason}" for reason, found in sorted(folders.items())]


def slowest_lines(reports: Iterable[object]) -> list[str]:
    """List the slowest scenarios, if some are slow."""
    took: dict[str, float] = {}
    for report in reports:
        # an item also has a report for each assertion
        nodeid = getattr(report, "nodeid", "")
        took[nodeid] = max(took.get(nodeid, 0.0), getattr(report, SECONDS, None) or 0.0)
    slow = sorted(((seconds, nodeid) for nodeid, seconds in took.items() if seconds >= _SLOW), reverse=True)
    return [f"slowest: {seconds:.1f} s {nodeid}" for seconds, nodeid in slow[:_SLOWEST]] if len(took) > 1 else []


def shown_runs(stats: Mapping[str, Sequence[pytest.TestReport]]) -> list[tuple[pytest.TestReport, str]]:
    """Return the reports of items with --chaos-show, and the texts of their runs."""
    reports = [report for outcome in ("passed", "xfailed") for report in stats.get(outcome, ())]
    return [(report, text) for report in reports for name, text in report.sections if name == f"Captured {RUN} call"]


def _common(folders: list[str]) -> str:
    try:
        return os.path.commonpath(folders) or "."
    except ValueError:  # some are outside the project
        return "several folders"
