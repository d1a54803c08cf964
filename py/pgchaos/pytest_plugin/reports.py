"""Changes pytest's reports: the line that a failure points to, JUnit's counts, masked passwords."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pgchaos.safe_output import knows_secrets, one_line, without_secrets

if TYPE_CHECKING:
    from pgchaos.results import RunResult
    from pgchaos.runner.options import Options

_FIRST_LINE = re.compile(r"(?P<path>[^\n]+?):(?P<line>[0-9]+): (?P<reason>[^\n]*)")
_VALUES = re.compile(r"\n    have: (?P<have>[^\n]*)\n    want: (?P<want>[^\n]*)(?=\n|\Z)")
_LEAST_WIDTH = 80
_WIDTH_WITHOUT_TERMINAL = 160  # columns of output into a file or a log
_FAILED = "Failed: "  # pytest writes it before the text of pytest.fail()

# The attribute of the report of one assertion of a scenario.
ASSERTION = "chaos_assertion"
_TESTS = re.compile(r'(<testsuite\b[^>]*?\btests=")([0-9]+)(?=")')

# Levels of nested objects in a report that are searched: exceptions contain entries, these locals, these lines.
_DEPTH = 12


class Cause(NamedTuple):
    """The first line of a failure's text."""

    path: str  # as reports show it; '' if the line names no file
    line: int  # from 1
    reason: str

    def summary(self, width: int) -> str:
        """Write path, line and reason within a width; the path is cut at its beginning, the reason never."""
        if not self.path:
            return self.reason
        rest = f":{self.line} {self.reason}"
        room = max(0, width - len(rest))
        path = self.path if len(self.path) <= room else "…" + self.path[len(self.path) - max(0, room - 1) :]
        return f"{path}{rest}"


def first_cause(text: str) -> Cause:
    """Parse the first line of a failure's text, with the values that it compares."""
    first = _FIRST_LINE.match(text)
    if first is None:
        return Cause("", 1, text.partition("\n")[0])
    values = _VALUES.match(text, first.end())
    compared = f": have {values['have']}, want {values['want']}" if values else ""
    return Cause(first["path"], int(first["line"]), first["reason"] + compared)


def terminal_width() -> int:
    """Return the columns of the terminal, or of a log if there is none."""
    return shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns


def captures_output(config: pytest.Config) -> bool:
    """Whether pytest captures output: not with `-s`, or without its plugin for that."""
    return bool(config.getoption("capture", "no") != "no")


def report_width(options: Options) -> int:
    """Return the columns of a failure's text; a worker of pytest-xdist receives those of the terminal."""
    return max(_LEAST_WIDTH, options.width or terminal_width())


def set_line(report: pytest.TestReport, line: int) -> None:
    """Make a report point to a line of the item's file, from 1."""
    file, _, name = report.location
    report.location = (file, line - 1, name)


def locate_failure(report: pytest.TestReport, item: pytest.Item, shown: str) -> int:
    """Make the report of a failed item point to the scenario instead of the plugin's code; return its line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return 1
    cause = first_cause(crash.message.removeprefix(_FAILED))
    in_file = cause.path in ("", shown)
    line = cause.line if in_file else 1
    # on CI pytest's summary contains the whole message: one line is enough, besides the failure itself
    crash.message = cause.summary(terminal_width() - len(f"FAILED {report.nodeid} - "))
    crash.path = str(item.path if in_file else Path(item.config.invocation_params.dir, cause.path))
    crash.lineno = line if in_file else cause.line
    return line


def shown_path(path: Path, config: pytest.Config) -> str:
    """Return the path of a file as reports show it: relative to the folder where pytest was called."""
    return str(path).removeprefix(os.path.join(config.invocation_params.dir, ""))  # noqa: PTH118 a Path would drop the slash at the end


def shorten_explored(report: pytest.TestReport, called_in: Path) -> None:
    """Make the report of a test that chaos_explore failed point to the failed line, and begin with the reason."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None or not crash.message.startswith(_FAILED):
        return
    cause = first_cause(crash.message.removeprefix(_FAILED))
    if cause.path:
        # the summary already contains the file, with the name of the test
        crash.message, crash.path, crash.lineno = cause.reason, str(called_in / cause.path), cause.line


def junit_properties(title: str, result: RunResult, fingerprint: str) -> list[tuple[str, str]]:
    """Return the properties of an item in JUnit's file."""
    found = [("title", title), ("seed", str(result.seed)), ("server", result.server)]
    if result.decisions is not None and fingerprint:
        from pgchaos.schedule.token import Token

        found.append(("token", str(Token(fingerprint, result.seed, result.decisions, result.values))))
    return [(name, one_line(value)) for name, value in found if value]


class ScenarioCount:
    """Corrects the number of tests in JUnit's file: pytest counts each assertion of a scenario too, as a subtest."""

    def __init__(self, path: str) -> None:
        # expanded as pytest does, before a test changes the current directory
        self._path = Path(os.path.expandvars(path)).expanduser().absolute()
        self._assertions = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the reports of assertions."""
        self._assertions += bool(getattr(report, ASSERTION, False))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Subtract them after pytest has written the file."""
        if not self._assertions or not self._path.is_file():
            return
        text = self._path.read_text(encoding="utf-8")
        text = _TESTS.sub(lambda found: found[1] + str(int(found[2]) - self._assertions), text, count=1)
        self._path.write_text(text, encoding="utf-8")


def mask_passwords(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Mask passwords in a report: a traceback with --showlocals shows the arguments of psycopg.connect()."""
    if knows_secrets():
        report.longrepr = _masked(report.longrepr, _DEPTH)  # type: ignore[assignment]  # it stays of its kind
        report.sections = [(without_secrets(name), without_secrets(text)) for name, text in report.sections]


def _masked(value: object, depth: int) -> object:
    if isinstance(value, str):
        return without_secrets(value)
    if depth == 0:
        return value
    if isinstance(value, tuple):
        items = [_masked(item, depth - 1) for item in value]
        is_named = hasattr(value, "_fields")
        return type(value)(*items) if is_named else tuple(items)  # type: ignore[arg-type]  # a named tuple
    if isinstance(value, list):
        return [_masked(item, depth - 1) for item in value]
    if type(value).__module__.partition(".")[0] == "_pytest":
        for name, inner in list(vars(value).items()) if hasattr(value, "__dict__") else []:
            object.__setattr__(value, name, _masked(inner, depth - 1))
    return value
