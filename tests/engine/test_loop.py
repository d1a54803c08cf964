"""The loop of a run: tasks, waits, stops, Ctrl-C; and what blocks, in a thread of its own."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Coroutine
from contextvars import Context
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

import pgchaos.engine
from pgchaos.engine.blocking import in_thread
from pgchaos.engine.loop import Loop, Task, begin, run_sync
from pgchaos.engine.waits import ACTIVE_LOOPS, LATE, READY, STOPPED, Condition, Mutex, Wait, ready_at_once, sleep
from pgchaos.stop import Stop


def run(work: Coroutine[Any, Any, object], stop: Stop | None = None) -> object:
    return Loop(stop.set).run(work) if stop is not None else Loop().run(work)


def test_tasks_continue_while_others_wait() -> None:
    went: list[str] = []

    async def task(name: str, news: Condition, other: Condition) -> None:
        for number in range(3):
            went.append(f"{name}{number}")
            other.notify()
            await news.wait(time.monotonic() + 0.2)

    async def main() -> None:
        one, other = Condition(), Condition()
        tasks = begin(task("a", one, other)), begin(task("b", other, one))
        for each in tasks:
            assert await each.ends()

    run(main())
    assert sorted(went) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert went.index("b0") < went.index("a1")


@pytest.mark.parametrize("seconds", [0.0005, 0.01])
@pytest.mark.parametrize("events", [select.POLLRDHUP, select.POLLPRI])
def test_a_wait_for_a_hang_up_is_not_ended_by_data(seconds: float, events: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"more")

        async def main() -> object:
            return await Wait(ours.fileno(), events, time.monotonic() + seconds)

        assert run(main()) is LATE


@pytest.mark.parametrize("seconds", [0.0009, 0.01])
def test_a_hang_up_is_seen_beside_short_waits(seconds: float) -> None:
    ours, theirs = socket.socketpair()

    async def waits() -> object:
        return await Wait(ours.fileno(), select.POLLRDHUP)

    async def turns(task: Task[object]) -> int:
        turns = 0
        while not task.done and turns < 1000:
            turns += 1
            await sleep(seconds)
        return turns

    async def main() -> object:
        task = begin(waits())
        await sleep(0)
        theirs.close()
        assert await turns(task) < 1000
        return task.result()

    with ours:
        assert run(main()) is READY


def test_a_look_for_what_is_ready_at_once_ends_by_itself() -> None:
    read, write = os.pipe()
    poll = select.poll()
    poll.register(read, select.POLLIN)
    assert ready_at_once(poll) == []
    os.write(write, b"x")
    assert ready_at_once(poll) == [(read, select.POLLIN)]
    ACTIVE_LOOPS.update((read, write))
    assert ready_at_once(poll) == [], "the processors are left to the other one"
    ACTIVE_LOOPS.difference_update((read, write))
    assert not ACTIVE_LOOPS
    os.close(read)
    os.close(write)


def test_a_descriptor_that_is_ready_wakes_the_task_that_waits_for_it() -> None:
    reader, writer = os.pipe()

    async def main() -> list[object]:
        wait = begin(wait_for(reader))
        assert not await wait.ends(0.01)
        os.write(writer, b"xy")
        assert await wait.ends(30)
        os.read(reader, 1)
        # what is still there wakes the next one too
        again = begin(wait_for(reader))
        assert await again.ends(30)
        return [wait.result(), again.result()]

    async def wait_for(fd: int) -> object:
        return await Wait(fd, select.POLLIN)

    try:
        assert run(main()) == [READY, READY]
    finally:
        os.close(reader)
        os.close(writer)


def test_tasks_that_wake_each_other_leave_time_for_others() -> None:
    reader, writer = os.pipe()

    async def spins(over: list[bool]) -> None:
        while not over:
            await sleep(600, stop)  # until the stop

    async def main() -> object:
        over: list[bool] = []
        spinning = begin(spins(over))
        os.write(writer, b"x")
        why = await Wait(reader, select.POLLIN)
        over.append(True)
        assert await spinning.ends(30)
        return why

    stop = Stop()
    stop.set()
    try:
        assert run(main()) is READY
    finally:
        stop.close()
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("seconds", [0.0005, 0.02])
def test_a_wait_is_late(seconds: float) -> None:
    async def main() -> object:
        return await Condition().wait(time.monotonic() + seconds)

    began = time.monotonic()
    assert run(main()) is LATE
    assert run_sync(main()) is LATE
    assert time.monotonic() - began >= 2 * seconds


def test_a_stop_wakes_the_tasks_that_wait_with_it_from_any_thread() -> None:
    stop, other = Stop(), Stop()

    async def main() -> list[object]:
        heeds, not_so, later = (begin(Condition().wait(time.monotonic() + 0.3, one)) for one in (stop, other, None))
        assert await heeds.ends(30)
        assert await not_so.ends(30)
        assert await later.ends(30)
        # it stays set
        return [heeds.result(), not_so.result(), later.result(), await sleep(600, stop)]

    thread = threading.Timer(0.01, stop.set)
    thread.start()
    assert run(main()) == [STOPPED, LATE, LATE, True]
    thread.join()
    assert run_sync(sleep(600, stop)) is True  # the stop is set
    stop.close()
    other.close()


def test_one_at_a_time_has_a_mutex() -> None:
    inside = most = 0

    async def task(mutex: Mutex) -> None:
        nonlocal inside, most
        async with mutex:
            inside += 1
            most = max(most, inside)
            await sleep(0.001)  # lets the others run
            inside -= 1

    async def main() -> None:
        mutex = Mutex()
        tasks = [begin(task(mutex)) for _ in range(5)]
        for each in tasks:
            await each.ends()

    run(main())
    assert (inside, most) == (0, 1)


def test_an_error_that_no_task_reads_is_raised_at_the_end() -> None:
    async def fails() -> NoReturn:
        raise ZeroDivisionError

    async def main() -> str:
        await begin(fails()).ends()
        return "well"

    with pytest.raises(ZeroDivisionError):
        run(main())


def test_an_error_is_passed_to_on_error() -> None:
    taken: list[Exception] = []

    async def fails() -> NoReturn:
        raise ZeroDivisionError

    async def main() -> str:
        await begin(fails(), taken.append).ends()
        return "well"

    assert run(main()) == "well"
    assert [type(error) for error in taken] == [ZeroDivisionError]


@pytest.mark.parametrize("where", ["in the poll", "in a task"])
def test_ctrl_c_stops_all_tasks_and_waits_for_them(where: str) -> None:
    stop, ended = Stop(), []

    async def task(name: str) -> None:
        try:
            await sleep(600, stop)  # until the stop
            # what is left to be done after a stop
            await sleep(0.01)
        finally:
            ended.append(name)

    async def main() -> None:
        tasks = [begin(task(name)) for name in "ab"]
        if where == "in a task":
            await sleep(0.01)  # the others have begun
            signal.raise_signal(signal.SIGINT)
        for each in tasks:
            await each.ends()

    timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT))
    if where == "in the poll":
        timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(main(), stop)
    assert sorted(ended) == ["a", "b"]
    stop.close()


@pytest.mark.parametrize("when", ["add", "discard"])
def test_ctrl_c_at_the_edge_of_a_loop_leaves_none_running(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    def interrupted(_loop: object) -> NoReturn:
        raise KeyboardInterrupt

    loops = SimpleNamespace(add=lambda _: None, discard=lambda _: None)
    setattr(loops, when, interrupted)

    def run_both() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("pgchaos.engine.loop.ACTIVE_LOOPS", loops)
            with pytest.raises(KeyboardInterrupt):
                run(sleep(0.0))
        assert run_sync(sleep(0.0)) is False

    Context().run(run_both)


def test_others_continue_while_something_blocks() -> None:
    go = threading.Event()

    async def main() -> str:
        blocks = begin(in_thread(lambda: go.wait(60) and "done", "waits"))
        assert not await blocks.ends(0.02)
        go.set()
        assert await blocks.ends(60)
        return str(blocks.result())

    assert run(main()) == "done"


def test_what_fails_in_a_thread_is_raised_where_it_is_waited_for() -> None:
    def fails() -> NoReturn:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_sync(in_thread(fails, "fails"))


def test_a_call_that_blocks_too_long_is_abandoned() -> None:
    go, over = threading.Event(), threading.Event()

    def blocks() -> None:
        go.wait(60)
        over.set()

    with pytest.raises(TimeoutError):
        run_sync(in_thread(blocks, "blocks", 0.01))
    go.set()
    assert over.wait(60)


def test_ctrl_c_reaches_a_coroutine_that_runs_by_itself() -> None:
    met: list[str] = []

    async def work() -> None:
        try:
            timer.start()  # here, so that Ctrl-C never comes before the test expects it
            await sleep(600)  # until Ctrl-C
        finally:
            await sleep(0.001)  # the clean-up may wait
            met.append("cleaned up")

    timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_sync(work())
    assert met == ["cleaned up"]


def test_in_a_loop_run_sync_is_refused() -> None:
    async def main() -> None:
        work = sleep(0)
        try:
            run_sync(work)
        finally:
            work.close()

    with pytest.raises(AssertionError, match="in a loop await it"):
        run(main())


def test_only_one_module_of_the_engine_has_threads() -> None:
    """A run is tasks of one loop in one thread; what can only block is in `blocking`."""
    root = Path(pgchaos.engine.__file__).parent
    named = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"\bthreading\b(?!\.py)|\b_thread\b|concurrent\.futures", path.read_text(encoding="utf-8"))
    }
    assert named == {"blocking.py"}
