from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pgchaos.posix.connected import _listed_by_its_account, connected

Start = Callable[[socket.socket], int]
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc is Linux's")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes that have a socket, and nothing else, until the test ends; give their pids."""
    with ExitStack() as stack:

        def one(end: socket.socket) -> int:
            command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
            process = stack.enter_context(
                subprocess.Popen(command, pass_fds=[end.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            stack.callback(process.kill)
            assert process.stdout is not None, "a pipe"
            process.stdout.readline()
            return process.pid

        yield one


def unix_pair() -> tuple[socket.socket, socket.socket]:
    """Connect two Unix sockets."""
    return socket.socketpair()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Connect two sockets of TCP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


@needs_proc
@pytest.mark.parametrize("pair", [unix_pair, tcp_pair])
def test_processes_that_share_a_connection_are_found(
    pair: Callable[[], tuple[socket.socket, socket.socket]], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        one, other, lonely, _kept = map(stack.enter_context, (*pair(), *pair()))
        first, second, third = start(one), start(other), start(lonely)
        one.close()
        other.close()
        monkeypatch.setattr(socket, "socket", None)  # as pytest-socket may
        assert connected([first, second, third]) == {first: {second}, second: {first}}
        assert connected([first, third]) == {}


@needs_proc
def test_a_process_that_is_gone_is_left_out() -> None:
    number = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    assert connected([number, -1, os.getpid()]) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can list files as another account")
def test_the_account_of_a_process_gets_nothing_of_root_s_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fd").mkdir()
    (tmp_path / "fd" / "3").symlink_to("socket:[33]")
    program = tmp_path / "ls"
    program.write_text("#!/bin/sh\necho found by PATH\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    listed = _listed_by_its_account(tmp_path)
    assert listed.endswith(" 3 -> socket:[33]\n")


def test_a_system_without_proc_and_netlink_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    assert connected([-1, -2]) == {}
