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

from pgchaos.report import live_progress as module
from pgchaos.report.live_progress import Live, live
from tests.pytest_plugin.conftest import FINE


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    return io.StringIO()


def test_each_line_is_written_over_the_one_before(terminal: io.StringIO) -> None:
    line = Live(terminal)
    line.tell("a", 1, 500)
    line.tell("b", 1, 20)
    line.tell("a", 2, 500)
    line.end("a")
    line.end("b")
    assert terminal.getvalue().split("\r\x1b[K")[1:] == ["a 1/500", "a 1/500, b 1/20", "a 2/500, b 1/20", "", ""]


def test_what_is_being_done_is_said_at_once() -> None:
    written = io.StringIO()
    line = Live(written)
    line.tell("a", 1, 500)
    line.say("a", module.PINNING)
    assert written.getvalue().split("\r\x1b[K")[1:] == ["a 1/500", "a: looking for an order of steps that replays it"]


def test_who_was_never_told_of_leaves_nothing(terminal: io.StringIO) -> None:
    Live(terminal).end("a")
    assert terminal.getvalue() == ""


def test_lines_do_not_come_faster_than_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 3600.0)
    terminal = io.StringIO()
    line = Live(terminal)
    for runs in range(1, 100):
        line.tell("a", runs, 500)
    assert terminal.getvalue().count("\r") == 1


def test_a_terminal_that_has_gone_is_no_failure(terminal: io.StringIO) -> None:
    line = Live(terminal)
    line.tell("a", 1, 2)
    terminal.close()
    line.tell("a", 2, 2)
    line.close()
    line.tell("a", 3, 3)


def test_where_nobody_looks_on_nothing_is_opened() -> None:
    line = live(wanted=False)
    line.tell("a", 1, 2)
    line.end("a")
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
    said = _all_of(ours)
    assert process.wait(60) == 0, said
    assert re.search(r"\r\x1b\[Ksearch [1-3]/9", said), said
    assert "explored: sql/search.sql::search: all 3 interleavings: there are no others" in said


def _all_of(terminal: int) -> str:
    said = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed (Linux)
            piece = b""
        if not piece:
            os.close(terminal)
            return said.decode()
        said += piece
