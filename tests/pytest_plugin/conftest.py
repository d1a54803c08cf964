"""A project of scenarios in a folder of its own, and pytest run over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# pytester unloads what a run loads, but a package keeps its modules as attributes: loaded here, they are never doubled
import pgchaos.pytest_plugin.collection
import pgchaos.pytest_plugin.summarize  # noqa: F401  # imported to be loaded
from tests.conftest import ForeignServer

INI = """\
[pytest]
addopts = -p pgchaos.pytest_plugin.plugin
filterwarnings =
    error
    ignore:Module already imported:pytest.PytestAssertRewriteWarning
"""
"""Before 9.2, pytest run within pytest warns of a plugin that is loaded already."""

FINE = """\
-- What must hold, holds
-- chaos:tags smoke
-- chaos:check
SELECT is(1 + 1, 2, 'sums are right');
"""

BAD = """\
-- What must hold, does not
-- chaos:check
SELECT is(1 + 1, 3, 'sums are wrong');
SELECT ok(true, 'but this holds');
SELECT ok(false, 'and this does not');
"""

BROKEN = """\
-- chaos:tags smoke
-- chaos:chek
SELECT ok(true);
-- chaos:check
SELECT ok(true);
"""


@dataclass(frozen=True)
class Project:
    """A folder with files, and pytest."""

    pytester: pytest.Pytester
    connect: Callable[[], str]

    def write(self, **files: str) -> None:
        """Write scenarios into sql/, each under its name."""
        for name, text in files.items():
            self.file(f"sql/{name}.sql", text)

    def file(self, name: str, text: str) -> Path:
        """Write any file."""
        path = self.pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *args: str) -> pytest.RunResult:
        """Run pytest on the tests' server."""
        return self.pytester.runpytest_inprocess(f"--chaos-dsn={self.connect()}", *args)

    def look(self, *args: str) -> pytest.RunResult:
        """Run pytest where no server can be reached."""
        return self.pytester.runpytest_inprocess("--chaos-dsn=host=/nowhere", *args)

    def collected(self, *args: str) -> list[str]:
        """Name the items that pytest collects, with no server."""
        result = self.look("--collect-only", "-q", *args)
        return [line for line in result.outlines if "::" in line and not line.startswith("ERROR")]


@pytest.fixture
def project(pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project; the tests' server is started by the first test that runs something."""
    # ours alone, and those that a test names: loading the others takes longer than what is tested
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("CHAOS_MAKE", "CI", "BUILD_NUMBER"):
        # in continuous integration pytest tells failures twice, whole in its summary too
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["pytest"])
    pytester.makeini(INI)

    def connect() -> str:
        foreign: ForeignServer = request.getfixturevalue("foreign_server")
        return foreign.dsn

    return Project(pytester, connect)
