"""Tests in Python on a server that answers nothing any more: fixtures say so soon, and do not wait for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos.projects import Project

pytestmark = pytest.mark.chaos

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


@pytest.mark.parametrize("name", _TESTS)
def test_fixtures_on_a_frozen_server_end_soon(project: Project, name: str) -> None:
    test, line = _TESTS[name]
    result = project.run_apart(_HEAD + test)
    ended = time.monotonic()
    result.stdout.fnmatch_lines([line])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert ended - float(Path("when").read_text()) < _SOON
