"""A child process: what it inherits, what both exchange, and how both end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgchaos.posix.forked import Channel, Forked
from pgchaos.posix.processes import look_up
from tests.waiting import until

_LIMIT = 60.0


@contextmanager
def forked(work: object) -> Iterator[Forked]:
    child = Forked(work)  # type: ignore[arg-type]  # as given
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _answer(channel: Channel) -> None:
    while True:
        channel.send(channel.receive())


def test_objects_go_both_ways() -> None:
    with forked(_answer) as child:
        for one in (1, {"a": [None]}, "x" * 1_000_000):
            child.channel.send(one)
            assert child.channel.poll(_LIMIT)
            assert child.channel.receive() == one
        assert not child.channel.poll(0)


@pytest.mark.parametrize("status", [0, 1, -signal.SIGKILL])
def test_the_end_of_the_child_is_seen(status: int) -> None:
    def work(_: Channel) -> None:
        if status < 0:
            os.kill(os.getpid(), -status)
        if status:
            raise ZeroDivisionError

    with forked(work) as child:
        with pytest.raises(EOFError):
            child.channel.receive()
        assert child.wait() == status
        assert child.wait() == status


def test_a_child_that_somebody_else_has_waited_for_has_ended() -> None:
    with forked(lambda _: None) as child:
        os.waitpid(child.pid, 0)
        child.kill()
        assert child.wait() == 0


@pytest.mark.parametrize("wait", ["receive", "poll", "send", "part", "wait"])
def test_a_child_that_is_stopped_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, wait: str) -> None:
    """`part`: it is stopped within a message."""
    monkeypatch.setattr("pgchaos.posix.forked._CHECK_INTERVAL", 0.01)
    monkeypatch.setattr("pgchaos.posix.forked._TO_END", 0.1)

    def work(channel: Channel) -> None:
        if wait == "part":
            os.write(channel._writer, bytes(4))
        os.kill(os.getpid(), signal.SIGSTOP)

    with forked(work) as child:
        if wait == "poll":
            assert child.channel.poll(None)
        elif wait == "send":
            with pytest.raises(BrokenPipeError):
                child.channel.send("x" * 1_000_000)
        elif wait != "wait":
            with pytest.raises(EOFError):
                child.channel.receive()
        assert child.wait() == -signal.SIGKILL
        assert child.was_stopped is (wait != "wait")


def test_a_child_that_continues_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgchaos.posix.forked._CHECK_INTERVAL", 0.01)
    with forked(_answer) as child:
        check = child._kill_if_stopped
        os.kill(child.pid, signal.SIGSTOP)
        until(lambda: os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None, "it stops")
        check()
        os.kill(child.pid, signal.SIGCONT)
        until(lambda: os.waitid(os.P_PID, child.pid, os.WCONTINUED | os.WNOHANG) is not None, "it goes on")
        check()
        check()
        child.channel.send(1)
        assert child.channel.receive() == 1


def test_drain_drops_what_is_sent_until_the_end() -> None:
    with forked(lambda channel: channel.send("x" * 1_000_000)) as child:
        assert child.channel.drain(_LIMIT)
    with forked(_answer) as child:
        assert not child.channel.drain(0.01)


def test_the_end_of_the_parent_ends_the_child() -> None:
    def parent(channel: Channel) -> None:
        child = Forked(_answer)
        channel.send(child.pid)
        channel.receive()

    with forked(parent) as one:
        pid = one.channel.receive()
        assert isinstance(pid, int)
        assert look_up(pid) is not None
        one.kill()
    until(lambda: look_up(pid) is None, "the child of the killed process has ended")


def test_a_pipe_of_the_parent_ends_when_the_parent_closes_it() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, forked(_answer) as child:
        child.channel.send("is it there?")
        child.channel.receive()
        os.close(writing)
        assert file.read() == b""


def test_the_child_writes_nothing_to_our_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    def work(channel: Channel) -> None:
        print("twice", flush=True)
        os.write(2, b"twice")
        channel.send("written")

    print("once", end="")
    with forked(work) as child:
        assert child.channel.receive() == "written"
    out, err = capfd.readouterr()
    assert (out, err) == ("once", "")


def test_signals_are_the_parents() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def handle(*_: object) -> None:
        os._exit(7)

    try:
        for number in before:
            signal.signal(number, handle)
        with forked(_answer) as child:
            os.kill(child.pid, signal.SIGINT)
            child.channel.send("goes on")
            assert child.channel.receive() == "goes on"
            os.kill(child.pid, signal.SIGTERM)
            assert child.channel.drain(_LIMIT)
            assert child.wait() == -signal.SIGTERM
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked


def test_a_child_is_made_while_threads_run_and_hold_locks() -> None:
    """From Python 3.12 on that is a warning, and warnings are errors here."""
    over, lock = threading.Event(), threading.Lock()

    def hold() -> None:
        with lock:
            held.set()
            over.wait()

    held = threading.Event()
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait()
    try:
        with forked(_answer) as child:
            child.channel.send("goes on")
            assert child.channel.receive() == "goes on"
    finally:
        over.set()
        thread.join()


def test_where_no_process_is_to_be_had_nothing_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refused)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(BlockingIOError):
        Forked(_answer)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
