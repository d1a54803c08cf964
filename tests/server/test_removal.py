"""However a run ends, it leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from pgchaos.posix.postmaster import MARKER
from pgchaos.server import ServerSettings, open_server
from pgchaos.server.run_id import RunId
from pgchaos.server.server_folder import remove_dead_servers
from tests.conftest import ForeignServer
from tests.server.conftest import Runner, alive, connections, folders_of, living_in, needs_root
from tests.waiting import until

Start = Callable[..., Runner]

WAYS: dict[str, Callable[[Runner], object]] = {
    "SIGKILL": lambda runner: runner.process.kill(),
    "SIGTERM": lambda runner: runner.process.terminate(),
    "Ctrl-C": lambda runner: os.killpg(runner.process.pid, signal.SIGINT),
    "os._exit": lambda runner: runner.say("exit"),
    "exit without close": lambda runner: runner.say("forget"),
    "close": lambda runner: runner.say("close"),
}


def nothing_left(runner: Runner) -> bool:
    return not (alive(runner.postmaster) or living_in(runner.folder) or folders_of(runner.process.pid))


@pytest.mark.parametrize("way", WAYS)
def test_private_server_is_removed_after_its_run(start_runner: Start, way: str) -> None:
    runner = start_runner()
    supervisor = runner.supervisor().pid
    assert alive(runner.postmaster)
    assert runner.folder in folders_of(runner.process.pid)
    WAYS[way](runner)
    until(lambda: nothing_left(runner), f"everything of the run gone after {way}")
    until(lambda: not alive(supervisor), "the supervisor gone")


@needs_root
def test_private_server_of_an_ordinary_user_is_removed_too(start_runner: Start) -> None:
    runner = start_runner(user="nobody")
    assert runner.folder.stat().st_uid == psutil.Process(runner.process.pid).uids().real
    runner.process.kill()
    until(lambda: nothing_left(runner), "everything of the run gone")


def test_forked_child_does_not_keep_the_server(start_runner: Start) -> None:
    runner = start_runner()
    runner.say("fork")
    child = int(runner.receive())
    until(lambda: nothing_left(runner), "the server gone while a child of its run lives")
    assert alive(child)
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("way", WAYS)
def test_databases_on_a_foreign_server_go_with_their_run(
    start_runner: Start, foreign_server: ForeignServer, way: str
) -> None:
    before = foreign_server.databases()
    runner = start_runner(foreign_server.dsn)
    assert runner.database in foreign_server.databases() - before
    WAYS[way](runner)
    until(lambda: foreign_server.databases() == before, f"the run's databases gone after {way}")


def test_prepared_transaction_does_not_keep_a_database(start_runner: Start, foreign_server: ForeignServer) -> None:
    before = foreign_server.databases()
    runner = start_runner(foreign_server.dsn)
    with foreign_server.connect(dbname=runner.database) as conn:
        conn.execute("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'left behind'")
    runner.process.kill()
    until(lambda: foreign_server.databases() == before, "the database gone")
    with foreign_server.connect() as conn:
        assert conn.execute("SELECT FROM pg_prepared_xacts").fetchall() == []


def test_next_run_removes_a_server_whose_supervisor_was_killed_too(start_runner: Start) -> None:
    runner = start_runner()
    runner.kill_supervisor()
    runner.process.kill()
    runner.process.wait()
    assert alive(runner.postmaster)
    assert runner.folder in remove_dead_servers()
    until(lambda: nothing_left(runner), "the leftover gone")


def test_server_of_a_live_run_is_left_alone(start_runner: Start) -> None:
    runner = start_runner()
    runner.kill_supervisor()
    assert runner.folder not in remove_dead_servers()
    assert alive(runner.postmaster)
    runner.process.kill()
    runner.process.wait()
    remove_dead_servers()
    until(lambda: nothing_left(runner), "the leftover gone")


@pytest.mark.parametrize("same", [True, False], ids=["the same start", "another process has its number"])
def test_a_process_is_known_by_its_start_since_the_boot(start_runner: Start, same: bool) -> None:
    runner = start_runner()
    runner.kill_supervisor()
    marker = runner.folder / MARKER
    run = RunId.loads(marker.read_text())
    assert run is not None
    owner = marker.stat()
    # one tick is what a number that was given out again at once would show
    other = run if same else replace(run, start=run.start - 1)
    marker.write_text(other.dumps())
    assert (marker.stat().st_uid, marker.stat().st_ino) == (owner.st_uid, owner.st_ino)
    assert (runner.folder in remove_dead_servers()) is not same
    assert alive(runner.postmaster) is same


def test_next_run_drops_databases_whose_supervisor_was_killed_too(
    start_runner: Start, foreign_server: ForeignServer
) -> None:
    before = foreign_server.databases()
    runner = start_runner(foreign_server.dsn)
    live = start_runner(foreign_server.dsn)
    runner.kill_supervisor()
    runner.process.kill()
    runner.process.wait()
    run = runner.database.split("_")[1]
    until(lambda: connections(foreign_server, run) == 0, "its backend has noticed")
    with open_server(ServerSettings(dsn=foreign_server.dsn)):
        left = foreign_server.databases() - before
        assert live.database in left
        assert runner.database not in left
    live.process.kill()
    until(lambda: foreign_server.databases() == before, "the databases gone")


def test_server_that_vanishes_ends_cleanly_and_the_next_run_works(start_runner: Start) -> None:
    runner = start_runner()
    os.kill(runner.postmaster, signal.SIGKILL)
    runner.say("close")
    assert runner.process.wait(30) == 0, runner.process.stderr
    until(lambda: nothing_left(runner), "everything of the run gone")
    again = start_runner()
    assert alive(again.postmaster)
