"""A project of tests in Python in a folder of its own, and pytest run over it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import dedent

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.server.conninfo import LIBPQ
from tests.conftest import ForeignServer

INI = """\
[pytest]
filterwarnings = error
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p no:cacheprovider -p no:xdist
"""
PLUGINS = ("pgchaos.pytest_plugin.plugin", "pytest_asyncio.plugin")
"""What a project's tests are run with, apart from the others: of those, hypothesis alone takes most of a short run."""


def loaded(*plugins: str) -> list[str]:
    """Give the options of pytest that load plugins."""
    return [word for plugin in plugins for word in ("-p", plugin)]


@dataclass(frozen=True)
class Project:
    """A folder with tests, and a server that is not theirs."""

    pytester: pytest.Pytester
    foreign: ForeignServer

    def run(self, source: str, *args: str, dsn: str | None = None) -> pytest.RunResult:
        """Run tests in this process, on the server."""
        self.write(source)
        return self.pytester.runpytest_inprocess(f"--chaos-dsn={self.foreign.dsn if dsn is None else dsn}", *args)

    def run_apart(self, source: str, *args: str, plugins: Sequence[str] = PLUGINS) -> pytest.RunResult:
        """Run tests in a process of their own, on a server of their own unless the arguments name one."""
        self.write(source)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
            return self.pytester.runpytest_subprocess(*loaded(*plugins), *args)

    def write(self, source: str) -> None:
        """Write the tests."""
        self.pytester.makepyfile(test_it=dedent(source))

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Look at the server from outside."""
        return psycopg.connect(make_conninfo(self.foreign.dsn, dbname=database), autocommit=True)

    def databases(self) -> set[str]:
        """Name the databases that runs have made on the server."""
        return {name for name in self.foreign.databases() if "chaos" in name}


@pytest.fixture
def project(pytester: pytest.Pytester, foreign_server: ForeignServer, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project beside a server that it did not start."""
    for name in (*LIBPQ, "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    pytester.makeini(INI)
    return Project(pytester, foreign_server)
