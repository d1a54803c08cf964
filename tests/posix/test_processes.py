"""Processes are known by number and start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.posix import processes

Child = subprocess.Popen[bytes]

needs_ps = pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps: apt-get install procps")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=tmp_path) as process:
        yield process
        process.kill()


@needs_ps
def test_ps_lists_the_same_as_proc(child: Child) -> None:
    known = processes.look_up(child.pid)
    assert known is not None
    asked = processes._ask_ps(child.pid)
    assert asked is not None
    assert (asked.pid, asked.user, asked.parent) == (known.pid, os.getuid(), os.getpid())
    assert str(child.pid) in processes._ask_ps_for_children(os.getpid())
    child.communicate(b"\n")
    assert processes._ask_ps(child.pid) is None
    assert processes.look_up(child.pid) is None
    assert str(child.pid) not in processes._ask_ps_for_children(os.getpid())


def test_children_are_found(child: Child) -> None:
    assert child.pid in {process.pid for process in processes.children(os.getpid())}


@pytest.mark.parametrize("handles", [True, False])
def test_a_number_that_is_another_process_s_by_now_is_not_signalled(
    child: Child, handles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not handles:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    known = processes.look_up(child.pid)
    assert known is not None
    assert not processes.send(known._replace(started="before"), signal.SIGKILL)
    assert not processes.send(known._replace(user=known.user + 1), signal.SIGKILL)
    assert child.poll() is None
    assert processes.send(known, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not processes.send(known, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="sees in /proc where processes work")
def test_only_the_owner_s_processes_are_found_in_a_folder(child: Child, tmp_path: Path) -> None:
    found = {process.pid for process in processes.working_in(tmp_path)}
    if os.geteuid():
        assert found == {child.pid}
        return
    # root's own processes are never a server's
    assert found == set()
    os.chown(tmp_path, 65534, 65534)
    assert processes.working_in(tmp_path) == set()
