"""The line that says how far searches have come."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pgchaos.runner import progress
from pgchaos.runner.item_progress import ItemProgress
from pgchaos.runner.progress import REPRODUCING, ProgressLine, open_progress_line
from tests.pytest_plugin.conftest import FINE


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(progress, "_AFTER", 0.0)
    # the line is updated by the tests alone
    monkeypatch.setattr(progress, "_INTERVAL", 3600.0)
    return io.StringIO()


def written(terminal: io.StringIO) -> list[str]:
    return terminal.getvalue().split("\r\x1b[K")[1:]


def test_each_line_is_written_over_the_one_before(terminal: io.StringIO) -> None:
    line = ProgressLine(terminal)
    line.begin("a")
    line.update()
    line.show("a", "searching 1 of 500 orders")
    line.begin("b")
    line.update()
    line.remove("a")
    line.show("b", REPRODUCING)
    line.update()
    line.remove("b")
    line.update()
    assert written(terminal) == [
        "a: running, 0 s",
        "a: searching 1 of 500 orders, 0 s; b: running, 0 s",
        "",
        "b: looking for an order of steps that replays it, 0 s",
        "",
    ]
    line.close()


def test_what_is_done_quickly_is_not_shown(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_AFTER", 3600.0)
    line = ProgressLine(terminal)
    line.begin("a")
    line.update()
    line.remove("a")
    line.remove("never begun")
    assert terminal.getvalue() == ""
    line.close()


def test_a_line_is_not_wider_than_the_terminal(terminal: io.StringIO) -> None:
    line = ProgressLine(terminal)
    for number in range(20):
        line.begin(f"scenario_{number}")
    line.update()
    (text,) = written(terminal)
    assert len(text) == 79
    assert text.endswith("...")
    line.close()


def test_a_closed_terminal_does_not_fail_the_run(terminal: io.StringIO) -> None:
    line = ProgressLine(terminal)
    line.begin("a")
    line.update()
    terminal.close()
    line.update()
    line.close()
    line.update()
    line.remove("a")


def test_without_a_terminal_nothing_is_opened_and_no_thread_started() -> None:
    line = open_progress_line(wanted=False)
    threads = threading.active_count()
    line.begin("a")
    line.show("a", "running")
    line.remove("a")
    assert threading.active_count() == threads
    line.close()


@pytest.mark.parametrize(
    ("interleavings", "shrinks", "failed", "text"),
    [
        (True, True, 0, "searching 120 of 5,000 interleavings"),
        (True, True, 1, "shrinking the failure, run 120"),
        (True, False, 2, "searching 120 of 5,000 interleavings, 2 failed"),
        (False, False, 0, "searching 120 of 5,000 runs"),
    ],
)
def test_what_a_search_does_now(interleavings: bool, shrinks: bool, failed: int, text: str) -> None:
    item = ItemProgress("sql/x.sql::x", "", interleavings, lambda _: True, shrinks=shrinks, failed=failed)
    assert item.activity(120, 5000) == text


def test_pytest_shows_it_on_a_terminal_past_what_is_captured(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    # two steps of which an order takes longer than what is shown
    text = "-- chaos:schedule explore 9\n-- chaos:session one\n{0}-- chaos:session two\n{0}".format(
        "SELECT pg_sleep(0.8);\n"
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
    assert re.search(r"\r\x1b\[Ksearch: searching [12] of [0-9] interleavings, [2-9] s", printed), printed
    assert "explored: sql/search.sql::search: " in printed


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
