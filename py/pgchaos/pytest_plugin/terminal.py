"""What the terminal shows of scenarios: failures with colours and box characters, and a summary at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pgchaos.pytest_plugin import run_summary
from pgchaos.pytest_plugin.scenario_item import ScenarioItem
from pgchaos.pytest_plugin.stash import BANNERS, OPTIONS, RUNNER
from pgchaos.report.look import BOXES
from pgchaos.safe_output import one_line

# The attribute of a report with the text of a failure, or of a run with --chaos-show, with box characters.
_BOXED = "chaos_boxed"


def mark_report(report: pytest.TestReport, item: ScenarioItem) -> None:
    """Give the report of an item what the main process needs to show it."""
    run_summary.mark_report(report, item)
    if item.boxed is not None and not item.in_subtest:
        setattr(report, _BOXED, item.boxed)


def has_boxes(config: pytest.Config) -> bool:
    """Whether the terminal has colours and box characters: not in a pipe, with NO_COLOR, nor in a bare encoding."""
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
    """The text of a failure for pytest's report: plain for whatever reads it, with colours on the terminal."""

    def __init__(self, plain: Any, boxed: str) -> None:  # noqa: ANN401 pytest has no public name for it
        self._plain, self._boxed = plain, boxed

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 as above
        return getattr(self._plain, name)

    def __str__(self) -> str:
        return str(self._plain)

    def toterminal(self, writer: Any) -> None:  # noqa: ANN401 pytest's TerminalWriter has no public name
        """Write it, as pytest asks for it."""
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
        """Have the terminal show a failure with its colours, where it has any."""
        boxed = getattr(report, _BOXED, None)
        if boxed is not None and report.failed and hasattr(report.longrepr, "toterminal"):
            report.longrepr = StyledFailure(report.longrepr, boxed)  # type: ignore[assignment]  # it acts as one

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Write what was stopped, the workers' servers, runs that passed, the oracle's table, and the summary."""

        def write(lines: Iterable[str]) -> None:
            for line in lines:
                terminalreporter.write_line(one_line(line))

        config, stats = self._config, terminalreporter.stats
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            write(config.stash[RUNNER].unfinished)
        write(f"server of {worker}: {banner}" for worker, banner in sorted(config.stash[BANNERS].items()))
        self._show_passed(terminalreporter)
        write(run_summary.oracle_lines(stats))
        if config.get_verbosity() >= 0:
            lines = run_summary.summary(stats, durations=config.getoption("durations", None) is not None)
            if lines and (stats.get("failed") or stats.get("error") or run_summary.shown_runs(stats)):
                lines.insert(0, "")  # they are not of the text before them
            write(lines)

    def _show_passed(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the reports of runs that passed, which their items have with --chaos-show."""
        if "P" in terminalreporter.reportchars:
            return  # pytest itself writes them
        runs = run_summary.shown_runs(terminalreporter.stats)
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
