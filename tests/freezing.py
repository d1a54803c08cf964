"""Stops a server, or one backend of it, as a debugger or a broken disk would: it answers nothing any more."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg
import pytest

from pgchaos.engine import connection
from pgchaos.server import Server
from tests.waiting import until

SLEEP = "SELECT pg_sleep(600);"


def _sleeping(conn: psycopg.Connection[tuple[object, ...]]) -> list[int]:
    rows = conn.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchall()
    return [int(str(pid)) for (pid,) in rows]


def _end_sleepers(server: Server) -> bool:
    """End the backends that sleep; say whether there were any."""
    with server.connect() as conn:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        return bool(conn.execute(query).fetchall())


def stop(server: Server, pids: list[int] | None = None) -> Callable[[], None]:
    """Stop backends, or all processes of a server and its postmaster; return what lets them go on."""
    assert server.private is not None
    postmaster = psutil.Process(server.private.pid)
    frozen = [postmaster, *postmaster.children()] if pids is None else [psutil.Process(pid) for pid in pids]
    for process in frozen:
        with suppress(psutil.Error):  # it has ended
            process.send_signal(signal.SIGSTOP)

    def go_on() -> None:
        for process in frozen:
            with suppress(psutil.Error):  # it has ended
                process.send_signal(signal.SIGCONT)

    return go_on


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process meanwhile."""
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: process.status() == psutil.STATUS_STOPPED, "the process stopped")
        yield
    finally:
        process.send_signal(signal.SIGCONT)


TRACER = """
import ctypes, sys
seize, interrupt = 0x4206, 0x4207
for request in (seize, interrupt):
    if ctypes.CDLL(None, use_errno=True).ptrace(request, int(sys.argv[1]), None, None):
        sys.exit(f"ptrace: {ctypes.get_errno()}")
print("traced", flush=True)
sys.stdin.read()
"""


@contextmanager
def traced(pid: int) -> Iterator[None]:
    """Stop a process by a debugger meanwhile: after SIGKILL, it is a zombie that its parent cannot wait for."""
    command = [sys.executable, "-c", TRACER, str(pid)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stdout is not None
        if tracer.stdout.readline() != "traced\n":
            pytest.skip(f"cannot trace a process: {tracer.communicate()[1]}")
        yield


@contextmanager
def freezing(server: Server, *, whole: bool) -> Iterator[list[float]]:
    """Stop the backend that sleeps, or all processes of the server, as soon as one sleeps.

    Args:
        server: a private one.
        whole: all of it.

    Yields:
        A list, to which the time of `time.monotonic()` at which it was stopped is added.
    """
    patch = pytest.MonkeyPatch()

    def freeze() -> Callable[[], None]:
        with server.connect() as conn:
            until(lambda: bool(_sleeping(conn)), "a backend sleeps")
            sleeping = _sleeping(conn)
        go_on = stop(server, None if whole else sleeping)
        if whole:
            # nobody answers a cancel from here on: it need not take long
            patch.setattr(connection, "_ANSWER_TO_CANCEL", 0.5)
        return go_on

    try:
        with meanwhile(freeze) as when:
            yield when
    finally:
        patch.undo()
        # who sleeps on would be taken for the next to be stopped
        until(lambda: not _end_sleepers(server), "nobody sleeps")


@contextmanager
def meanwhile(freeze: Callable[[], Callable[[], None]]) -> Iterator[list[float]]:
    """Freeze something beside what the context does, and let it go on at the end.

    Args:
        freeze: waits for the moment and stops processes, as `stop` does; returns what lets them go on.

    Yields:
        A list, to which the time of `time.monotonic()` at which they were stopped is added.
    """
    go_on: list[Callable[[], None]] = []
    when: list[float] = []

    def run() -> None:
        go_on.append(freeze())
        when.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield when
    finally:
        thread.join(60)
        for one in go_on:
            one()
