"""A server that answers nothing any more, not even a cancel: the run ends soon after its time is over."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from pgchaos.server import Server, ServerSettings, open_server
from tests.engine.playing import Play
from tests.waiting import until

PHASES = ("setup", "session", "check", "teardown")
_SLEEP = "SELECT pg_sleep(600);"
_SOON = 20.0
"""Seconds: 7 on a machine that has nothing else to do, of them 2 the limit of the scenario."""


@pytest.fixture
def own() -> Iterator[Server]:
    with open_server(ServerSettings()) as server:
        yield server


def sleeping(server: Server) -> list[psutil.Process]:
    assert server.private is not None
    found = []
    for process in psutil.Process(server.private.pid).children():
        with suppress(psutil.Error):
            # one that has just ended, or is being started, has no words
            if (process.cmdline() or [""])[0].endswith("SELECT"):
                found.append(process)
    with server.connect() as conn:
        rows = conn.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchall()
    return [process for process in found if (process.pid,) in rows]


@contextmanager
def freezing(server: Server, *, whole: bool) -> Iterator[list[float]]:
    """Stop the backend that sleeps, or all processes of the server, as soon as one sleeps."""
    frozen: list[psutil.Process] = []
    when: list[float] = []

    def freeze() -> None:
        until(lambda: bool(sleeping(server)), "a backend sleeps")
        assert server.private is not None
        postmaster = psutil.Process(server.private.pid)
        frozen.extend([postmaster, *postmaster.children()] if whole else sleeping(server))
        for process in frozen:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGSTOP)
        when.append(time.monotonic())

    thread = threading.Thread(target=freeze)
    thread.start()
    try:
        yield when
    finally:
        thread.join(60)
        for process in frozen:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("whole", [True, False], ids=["server", "backend"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_on_a_frozen_server_ends_soon(own: Server, tmp_path: Path, phase: str, whole: bool) -> None:
    says = {name: _SLEEP if name == phase else "SELECT 1;" for name in PHASES}
    if phase != "check":
        says["check"] = "SELECT pass('checked');"
    text = "-- chaos:timeout 2s\n-- chaos:invariant\nSELECT true AS it_is;\n"
    names = {name: f"{name} one" if name == "session" else name for name in PHASES}
    text += "".join(f"-- chaos:{names[name]}\n{said}\n" for name, said in says.items())
    with freezing(own, whole=whole) as when:
        result = Play(own, tmp_path)(text)
        ended = time.monotonic()
    assert result.failures[0].kind == "timeout"
    assert ended - when[0] < _SOON
    unanswered = [failure for failure in result.failures if "the server does not answer" in failure.text]
    assert bool(unanswered) is whole
