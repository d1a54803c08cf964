"""The line that says how far searches have come."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pgchaos.runner import progress
from pgchaos.runner.progress import REPRODUCING, ProgressLine, open_progress_line
from tests.pytest_plugin.conftest import FINE


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    return io.StringIO()


def test_each_line_is_written_over_the_one_before(terminal: io.StringIO) -> None:
    line = ProgressLine(terminal)
    line.show_count("a", 1, 500)
    line.show_count("b", 1, 20)
    line.show_count("a", 2, 500)
    line.remove("a")
    line.remove("b")
    assert terminal.getvalue().split("\r\x1b[K")[1:] == ["a 1/500", "a 1/500, b 1/20", "a 2/500, b 1/20", "", ""]


def test_an_activity_is_shown_at_once() -> None:
    written = io.StringIO()
    line = ProgressLine(written)
    line.show_count("a", 1, 500)
    line.show_activity("a", REPRODUCING)
    assert written.getvalue().split("\r\x1b[K")[1:] == ["a 1/500", "a: looking for an order of steps that replays it"]


def test_a_scenario_that_was_never_shown_leaves_nothing(terminal: io.StringIO) -> None:
    ProgressLine(terminal).remove("a")
    assert terminal.getvalue() == ""


def test_the_line_is_not_updated_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_INTERVAL", 3600.0)
    terminal = io.StringIO()
    line = ProgressLine(terminal)
    for runs in range(1, 100):
        line.show_count("a", runs, 500)
    assert terminal.getvalue().count("\r") == 1


def test_a_closed_terminal_does_not_fail_the_run(terminal: io.StringIO) -> None:
    line = ProgressLine(terminal)
    line.show_count("a", 1, 2)
    terminal.close()
    line.show_count("a", 2, 2)
    line.close()
    line.show_count("a", 3, 3)


def test_without_a_terminal_nothing_is_opened() -> None:
    line = open_progress_line(wanted=False)
    line.show_count("a", 1, 2)
    line.remove("a")
    line.close()


def test_pytest_shows_it_on_a_terminal_past_what_is_captured(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    text = "-- chaos:schedule explore 9\n-- chaos:session one\n{0}{0}-- chaos:session two\n{0}".format(
        "SELECT pg_sleep(0);\n"
    )
    (tmp_path / "sql/search.sql").write_text(text + FINE.replace("-- What must hold, holds\n-- chaos:tags smoke\n", ""))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "sql"]
    # a session of its own, so that the terminal becomes its /dev/tty
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    printed = _read_all(ours)
    assert process.wait(60) == 0, printed
    assert re.search(r"\r\x1b\[Ksearch [1-3]/9", printed), printed
    assert "explored: sql/search.sql::search: all 3 interleavings: there are no others" in printed


def _read_all(terminal: int) -> str:
    printed = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed (Linux)
            piece = b""
        if not piece:
            os.close(terminal)
            return printed.decode()
        printed += piece
