"""Collects the data of each scenario's report, and writes the files of a run at its end.

The data is made where the item runs, which may be a worker of pytest-xdist, and is sent as text with the item's report.
The main process joins the texts.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import pytest

import pgchaos
from pgchaos import clock
from pgchaos.pytest_plugin.explored_test import explored_data, explores, forget_calls
from pgchaos.pytest_plugin.items import replay_lines, run_again, values_of
from pgchaos.pytest_plugin.scenario_item import SCENARIO_SUFFIXES, ScenarioItem
from pgchaos.pytest_plugin.stash import OPTIONS, RUNNER
from pgchaos.report.export import github
from pgchaos.report.export.document import RunData, document, dumps
from pgchaos.report.export.output_file import write_whole
from pgchaos.report.export.scenario_data import ItemData, plain_data, scenario_data
from pgchaos.report.export.timeline_data import Data
from pgchaos.runner.jobs import FinishedScenario
from pgchaos.safe_output import one_line, printable

# The attribute of a report with its item's data.
_DATA = "chaos_data"
# The attribute that marks the reports of a test with chaos_explore for the main process.
_EXPLORES = "chaos_explores"
# The key in a worker's output with the ids of the collected tests with chaos_explore.
_EXPLORING = "chaos_exploring"


class ReportFiles:
    """Writes the files of the options, such as `report`, and the annotations and job summary of GitHub Actions."""

    def __init__(self, config: pytest.Config, files: Mapping[str, Path], *, on_github: bool) -> None:
        self._config, self._files, self._on_github = config, files, on_github
        self._is_worker = hasattr(config, "workerinput")
        self._begun = clock.now()
        self._texts: list[str] = []
        self._collected: dict[str, None] = {}
        self._exploring: dict[str, int | None] = {}  # tests with chaos_explore, each with the index of its text
        self._reported: Counter[str] = Counter()
        self._lines: list[str] = []  # to print at the end

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the data of an item to its report."""
        report = yield
        if isinstance(item, ScenarioItem) and not item.in_subtest and (call.when == "call" or not report.passed):
            setattr(report, _DATA, dumps(_data_of(item, report)))
            item.finished = None
        elif not isinstance(item, ScenarioItem) and explores(item):
            setattr(report, _EXPLORES, True)
            if call.when == "call" or not report.passed:
                setattr(report, _DATA, dumps(explored_data(item, report, _verdict(report), _text(report))))
            if call.when == "teardown":
                forget_calls(item)
        return report

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record which items are to run."""
        self._collected.update(dict.fromkeys(item.nodeid for item in session.items))
        self._exploring.update(dict.fromkeys(item.nodeid for item in session.items if explores(item)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Record which items are to run, from a worker of pytest-xdist."""
        self._collected.update(dict.fromkeys(ids))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401  # pytest-xdist's own type
        """Record which of them use chaos_explore, from a worker that has ended."""
        for nodeid in getattr(node, "workeroutput", {}).get(_EXPLORING, ()):
            self._exploring.setdefault(nodeid, None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Add a file that cannot be collected."""
        if report.failed and not self._is_worker and _is_ours(report.nodeid):
            self._add_without_data(report.nodeid, "error", report.longreprtext)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the data of an item."""
        if self._is_worker:
            return
        text = getattr(report, _DATA, None)
        if getattr(report, _EXPLORES, False):
            self._exploring.setdefault(report.nodeid, None)
        if text is not None:
            delattr(report, _DATA)
            self._add(report, text)
        elif report.failed and self._is_shown(report.nodeid) and report.when not in ("setup", "call", "teardown"):
            # its worker has crashed
            self._add_without_data(report.nodeid, "error", report.longreprtext)

    def _is_shown(self, nodeid: str) -> bool:
        return nodeid in self._exploring or _is_ours(nodeid)

    def _add(self, report: pytest.TestReport, text: str) -> None:
        nodeid, before = report.nodeid, self._exploring.get(report.nodeid)
        if nodeid in self._exploring and report.outcome not in ("passed", "failed", "skipped"):
            # pytest-rerunfailures runs the test again
            return
        self._reported[nodeid] += 1
        if before is None:
            if nodeid in self._exploring:
                self._exploring[nodeid] = len(self._texts)
            self._texts.append(text)
        elif not github.has_failed(json.loads(self._texts[before])):
            # a test has one entry: the first failure of its subtests, the test itself and its teardown
            self._texts[before] = text

    def _add_without_data(self, nodeid: str, verdict: str, text: str) -> None:
        self._reported[nodeid] += 1
        item = ItemData(nodeid, verdict, nodeid.partition("::")[0], text=text)
        self._texts.append(dumps(plain_data(item)))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the files."""
        if self._is_worker:
            self._config.workeroutput[_EXPLORING] = list(self._exploring)  # type: ignore[attr-defined]  # pytest-xdist's
            return
        if self._config.getoption("collectonly"):
            return
        ours = [nodeid for nodeid in self._collected if self._is_shown(nodeid)]
        run = RunData(
            pgchaos=pgchaos.__version__,
            seed=self._config.stash[OPTIONS].seed,
            started_at=self._begun,
            seconds=round(clock.now() - self._begun, 3),
            exit_status=int(exitstatus),
            collected=len(ours),
            not_run=[printable(nodeid) for nodeid in ours if nodeid not in self._reported],
            server=printable(self._config.stash[RUNNER].banner),
        )
        for name, path in self._files.items():
            try:
                written = self._try_to_write(name, path, run)
            except KeyboardInterrupt:
                self._lines.append(f"ERROR: --chaos-{name}: '{path}' was not written: interrupted")
                session.exitstatus = pytest.ExitCode.INTERRUPTED
                break
            if not written:
                session.exitstatus = session.exitstatus or pytest.ExitCode.INTERNAL_ERROR
        if self._on_github:
            self._report_to_github()

    def _try_to_write(self, name: str, path: Path, run: RunData) -> bool:
        try:
            self._lines += self._write(name, path, run)
        except OSError as error:
            self._lines.append(f"ERROR: --chaos-{name}: '{path}' was not written: {error.strerror or error}")
            return False
        return True

    def _write(self, name: str, path: Path, run: RunData) -> list[str]:
        if name == "svg":
            return self._write_pictures(path)
        if name == "json":
            text = document(run, self._texts)
        elif name == "trace":
            from pgchaos.report.export.trace import trace

            text = trace(map(json.loads, self._texts))
        else:
            from pgchaos.report.export.page import page

            text = page(run, self._texts)
        write_whole(path, text)
        return [f"--chaos-{name}: wrote {self._shown(path)}"]

    def _write_pictures(self, folder: Path) -> list[str]:
        from pgchaos.report.export.svg import file_name, svg

        failed = [one for one in map(json.loads, self._texts) if github.has_failed(one) and one.get("timeline")]
        folder.mkdir(parents=True, exist_ok=True)
        for one in failed:
            write_whole(folder / file_name(one["id"]), svg(one))
        count = "1 picture" if len(failed) == 1 else f"{len(failed)} pictures"
        return [f"--chaos-svg: wrote {count} into {self._shown(folder)}"]

    def _shown(self, path: Path) -> str:
        folder = self._config.invocation_params.dir
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)

    def _report_to_github(self) -> None:
        scenarios = [json.loads(text) for text in self._texts]
        root, here = os.environ.get("GITHUB_WORKSPACE", ""), self._config.invocation_params.dir
        prefix = str(here.relative_to(root)) if root and here.is_relative_to(root) else ""
        # another plugin may write annotations of all failed tests
        if not self._config.pluginmanager.has_plugin("pytest_github_actions_annotate_failures"):
            self._lines += github.annotation_lines(scenarios, prefix)
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if path and (text := github.job_summary(scenarios)):
            try:
                with Path(path).open("a", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                self._lines.append(f"the job summary was not written: {error}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print which files were written."""
        for line in self._lines:
            terminalreporter.write_line(one_line(line))


def _is_ours(nodeid: str) -> bool:
    return PurePath(nodeid.partition("::")[0]).suffix in SCENARIO_SUFFIXES


def _data_of(item: ScenarioItem, report: pytest.TestReport) -> Data:
    options: Any = item.config.stash[OPTIONS]
    done, path = item.finished, item.job.shown if item.job else item.nodeid.partition("::")[0]
    again, token = "", ""
    if isinstance(done, FinishedScenario) and _verdict(report) != "skipped":
        # a token may be written into a file, so only for failed items
        again, token = replay_lines(item, done, options) if report.failed else (run_again(item, done, options), "")
    known = ItemData(
        id=item.nodeid,
        verdict=_verdict(report),
        file=path,
        line=item.failed_at or (item.line if report.skipped else 1),
        seconds=report.duration if item.duration is None else item.duration,
        text=_text(report),
        again=again,
        token=token,
    )
    if isinstance(done, FinishedScenario):
        values = values_of(item, done)
        return scenario_data(known, done.scenario, done.mutant, values, done.result, done.repeats)
    tags = [mark.name for mark in item.iter_markers() if mark.name != "chaos"]
    source = item.path.read_text(encoding="utf-8", errors="replace") if item.path.is_file() else ""
    return plain_data(known, item.title, tags, source)


def _verdict(report: pytest.TestReport) -> str:
    if report.when != "call" and report.failed:
        return "error"
    if report.skipped and hasattr(report, "wasxfail"):
        return "xfailed"
    return report.outcome


def _text(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        # the reason instead of the plugin's traceback
        return printable(str(report.wasxfail))
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return report.longreprtext
