"""Tests in Python on a server that has stopped answering: fixtures report it soon, and do not wait for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.projects import INI, PLUGINS, loaded

pytestmark = [pytest.mark.chaos, pytest.mark.slow]  # one waits for a limit of 5 s, twice

_SOON = 20.0
"""Seconds: 4 on a machine that has nothing else to do."""
_HEAD = """
import pathlib, signal, time
import psutil, pytest

def freeze(conn, whole=True):
    from pgchaos.pytest_plugin.fixtures import leftovers
    if whole:
        # nobody answers from here on: it need not take long
        leftovers.ANSWER_LIMIT = leftovers.ROLLBACK_LIMIT = 0.5
    backend = psutil.Process(conn.info.backend_pid)
    postmaster = backend.parent()
    for process in [postmaster, *postmaster.children()] if whole else [backend]:
        process.send_signal(signal.SIGSTOP)
    pathlib.Path("when").write_text(str(time.monotonic()))
"""
_TESTS = {
    "sync_conn": ("def test_it(sync_conn): freeze(sync_conn)", "*the server did not answer within 0.5 s*"),
    "conn_pool": ("def test_it(conn_pool): freeze(conn_pool[0])", "*the server did not answer within 0.5 s*"),
    "async_conn": ("async def test_it(async_conn): freeze(async_conn)", "*the server did not answer within 0.5 s*"),
    "isolated_schema": (
        "@pytest.fixture\ndef frozen(sync_conn): freeze(sync_conn)\ndef test_it(frozen, isolated_schema): pass",
        "*the server did not answer within 0.5 s*",
    ),
    "one backend": (
        "def test_it(sync_conn):\n    sync_conn.execute('SELECT 1')\n    freeze(sync_conn, whole=False)",
        "*session * does not end: its process does not answer*",
    ),
}


@pytest.mark.usefixtures("project")
def test_fixtures_on_a_frozen_server_end_soon(pytester: pytest.Pytester) -> None:
    # they wait for their limits side by side, each in a process and on a server of its own
    folders = {name: pytester.mkdir(name.replace(" ", "_")) for name in _TESTS}
    with ThreadPoolExecutor(len(_TESTS)) as threads:
        ends = {name: threads.submit(_run, folder, _TESTS[name][0]) for name, folder in folders.items()}
    for name, (_, line) in _TESTS.items():
        out, status, ended = ends[name].result()
        pytest.LineMatcher(out.splitlines()).fnmatch_lines([line])
        assert status == pytest.ExitCode.TESTS_FAILED, name
        assert ended - float((folders[name] / "when").read_text()) < _SOON, name


def _run(folder: Path, test: str) -> tuple[str, int, float]:
    """Run a test; return the output, the status and when it ended."""
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_it.py").write_text(_HEAD + test)
    command = [sys.executable, "-m", "pytest", *loaded(*PLUGINS)]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    return done.stdout, done.returncode, time.monotonic()
