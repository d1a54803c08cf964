"""Databases of other runs are removed only where the run is known to be over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from pgchaos.server import ServerSettings, open_server
from pgchaos.server.database_factory import CreatedDatabases, DatabaseFactory
from pgchaos.server.databases import name_while_created, run_of_database
from pgchaos.server.external_cleanup import Lease
from pgchaos.server.health import ServerHealth
from pgchaos.server.run_id import LEASE_SECONDS, RunId, clock, has_ended, start_time, system_id
from tests.conftest import ForeignServer
from tests.server.conftest import connections, needs_root
from tests.server.killed_runs import maker_run
from tests.waiting import until

NAME = "pgchaos_0badcafe_1"
ELSEWHERE = RunId("0badcafe", "elsewhere", 1, "f" * 12, 1)


@pytest.fixture
def now(foreign_server: ForeignServer) -> Iterator[int]:
    """The server's time; the database of the other run goes with the test."""
    with foreign_server.connect() as conn:
        yield clock(conn)
        conn.execute(f"DROP DATABASE IF EXISTS {NAME}".encode())


@pytest.fixture(scope="module")
def ended() -> RunId:
    """A run of this system whose process has ended."""
    script = "import sys; from pgchaos.server.run_id import RunId; sys.stdout.write(RunId.new().dumps())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    run = RunId.loads(done.stdout)
    assert run is not None
    return replace(run, id="0badcafe")


def stays(server: ForeignServer, record: str, name: str = NAME) -> tuple[bool, list[str]]:
    """Make a database with a comment, start a run, and say whether it is still there, and what is told."""
    with server.connect() as conn:
        conn.execute(f'CREATE DATABASE "{name}"'.encode())
        if record:
            conn.execute(f"COMMENT ON DATABASE \"{name}\" IS '{record}'".encode())
    with open_server(ServerSettings(dsn=server.dsn)) as run:
        there, notes = name in server.databases(), run.notes
    with server.connect() as conn:
        conn.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
    return there, notes


def test_run_of_another_system_is_over_when_its_lease_is(foreign_server: ForeignServer, now: int) -> None:
    there, notes = stays(foreign_server, ELSEWHERE.at(now - LEASE_SECONDS + 600).dumps())
    assert there
    (note,) = notes
    assert (
        f"run 0badcafe, process 1 on elsewhere, is not known to be over (last sign of life {LEASE_SECONDS // 60 - 10}"
        in note
    )
    assert note.endswith(f'If that run is over: DROP DATABASE "{NAME}"')
    assert stays(foreign_server, ELSEWHERE.at(now - LEASE_SECONDS - 600).dumps()) == (False, [])


def test_what_one_database_says_counts_for_all_of_a_run(foreign_server: ForeignServer, now: int) -> None:
    with foreign_server.connect() as conn:
        conn.execute("CREATE DATABASE pgchaos_0badcafe_2")
        conn.execute(f"COMMENT ON DATABASE pgchaos_0badcafe_2 IS '{ELSEWHERE.at(now).dumps()}'".encode())
        there, notes = stays(foreign_server, ELSEWHERE.at(now - LEASE_SECONDS - 600).dumps())
        conn.execute("DROP DATABASE pgchaos_0badcafe_2")
    assert there
    assert len(notes) == 1


@pytest.mark.usefixtures("now")
def test_run_that_is_connected_lives_whatever_its_record_says(foreign_server: ForeignServer) -> None:
    with foreign_server.connect(application_name="pgchaos 0badcafe"):
        assert stays(foreign_server, ELSEWHERE.at(1).dumps()) == (True, [])
    until(lambda: connections(foreign_server, "0badcafe") == 0, "its connection gone")


@pytest.mark.parametrize(
    "record",
    [
        '{"id": "0badcafe", "host": "elsewhere", "pid": 1}',
        RunId("deadbeef", "elsewhere", 1, "f" * 12, 1, 1).dumps(),
        "ours, keep it",
        '[{"id": "0badcafe"}]',
    ],
    ids=["no lease", "another run", "a note", "no record"],
)
def test_record_that_proves_nothing_removes_nothing(foreign_server: ForeignServer, record: str) -> None:
    there, notes = stays(foreign_server, record)
    assert there
    assert len(notes) == 1


def test_run_of_this_system_is_over_when_its_process_is(foreign_server: ForeignServer, now: int, ended: RunId) -> None:
    assert stays(foreign_server, ended.at(now).dumps()) == (False, [])
    me = RunId.new()
    alive = replace(ended, pid=me.pid, start=me.start)
    assert stays(foreign_server, alive.at(1).dumps()) == (True, []), "a process that runs needs no lease"
    assert stays(foreign_server, replace(alive, start=me.start - 1).at(now).dumps()) == (False, []), "reused pid"
    # the same numbers in another container, or in another boot, are another process's
    assert stays(foreign_server, replace(ended, system="e" * 12).at(now).dumps())[0]
    assert stays(foreign_server, replace(ended, system="").at(now).dumps())[0]


def test_name_of_a_database_that_is_being_made_says_whose_it_is(
    foreign_server: ForeignServer, now: int, ended: RunId
) -> None:
    name = name_while_created(ended.at(now), NAME)
    assert run_of_database(name, "None") == replace(ended.at(now), host="")
    assert len(name_while_created(replace(ended, pid=4194304, start=10**11).at(4 * 10**9), f"{NAME}23456")) <= 63
    assert stays(foreign_server, "", name) == (False, [])
    assert stays(foreign_server, "", name_while_created(RunId.new().at(now), NAME))[0]
    there, notes = stays(foreign_server, "", name_while_created(ELSEWHERE.at(now), NAME))
    assert there
    assert "process 1 on an unknown host, is not known to be over (last sign of life 0 min ago)" in notes[0]
    assert stays(foreign_server, "", name_while_created(ELSEWHERE.at(now - LEASE_SECONDS - 1), NAME)) == (False, [])


def test_databases_are_called_shortly_once_their_record_is_written(foreign_server: ForeignServer) -> None:
    with open_server(ServerSettings(dsn=foreign_server.role("tester"))) as server, server.sandbox() as sandbox:
        assert sandbox.database.startswith(f"pgchaos_{server.run.id}_")
        assert sandbox.database.count("_") == 2
        with server.connect() as conn:
            query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
            (comment,) = conn.execute(query, [sandbox.database]).fetchone() or ("",)
        run = RunId.loads(str(comment))
        assert run is not None
        assert run.at(0) == server.run
        assert run.renewed > 0


def test_lease_is_renewed(foreign_server: ForeignServer) -> None:
    def renewed() -> list[RunId]:
        with foreign_server.connect() as conn:
            rows = conn.execute("SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database").fetchall()
        runs = (run_of_database(str(name), str(comment)) for name, comment in rows)
        return [one for one in runs if one is not None and one.id == run.id]

    run = RunId.new()
    maker = DatabaseFactory(foreign_server.role("tester"), run, ours=False, pgtap_from=None, created=CreatedDatabases())
    names = [maker.clone("template0"), maker.clone("template0")]
    maker.close()
    with foreign_server.connect() as conn:
        for name in names:
            conn.execute(f"COMMENT ON DATABASE {name} IS '{run.at(1).dumps()}'".encode())
    lease = Lease(maker.copy(), every=0.01)
    lease.begin()
    until(lambda: [one.renewed > 1 for one in renewed()] == [True, True], "both records are renewed")
    # its connection is cut, again and again
    with foreign_server.connect() as conn:
        for _ in range(3):
            until(
                lambda: conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                    [f"pgchaos {run.id}"],
                ).fetchall(),
                "a connection of the run is cut",
            )
        for name in names:
            conn.execute(f"COMMENT ON DATABASE {name} IS '{run.at(1).dumps()}'".encode())
    lease.end(ServerHealth(foreign_server.dsn))
    maker.drop_all()
    maker.close()
    assert not renewed()


@needs_root
def test_run_on_another_host_whose_connection_was_cut_keeps_its_databases(foreign_server: ForeignServer) -> None:
    before = foreign_server.databases()
    other = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
    with maker_run(foreign_server.role("maker"), *other, steps=True) as run:
        run.go()
        database = run.receive()
        assert database in foreign_server.databases()

        def made() -> bool:
            # the template, the one in use, and two ahead
            names = [re.fullmatch(f"pgchaos_{run.id}_t?[0-9]+", name) for name in foreign_server.databases()]
            return len(names) - names.count(None) == 4

        until(made, "no more is being made: of a database that is not finished it is told apart")
        run.process.send_signal(signal.SIGSTOP)  # else it is connected again at once
        with foreign_server.connect() as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s",
                [f"pgchaos {run.id}"],
            )
        assert connections(foreign_server, run.id) == 0
        kept = foreign_server.databases()
        with open_server(ServerSettings(dsn=foreign_server.dsn)) as superuser:
            assert superuser.notes == [], "they are another role's"
        with open_server(ServerSettings(dsn=f"{foreign_server.dsn} user=maker")) as server:
            assert foreign_server.databases() == kept
            # other tests' runs may have left something of this role's, and it is told of too
            (note,) = [note for note in server.notes if run.id in note]
            assert f"run {run.id}, process {run.process.pid} on elsewhere, is not known to be over" in note
            assert database in note
        run.process.send_signal(signal.SIGCONT)
        run.go()
        run.go()
        assert run.receive() in foreign_server.databases()
        run.go("end")
        assert run.process.wait(60) == 0
    assert foreign_server.databases() == before


def test_process_has_ended_only_where_that_is_certain() -> None:
    me = os.getpid()
    assert not has_ended(me, start_time(me))
    assert has_ended(me, start_time(me) - 1)
    assert not has_ended(me, 0), "its start is not known"
    assert not has_ended(0, 1)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = start_time(child.pid)
    assert not has_ended(child.pid, start)
    child.kill()
    until(lambda: has_ended(child.pid, start), "a zombie has ended")
    child.communicate()
    assert has_ended(child.pid, start)


@needs_root
@pytest.mark.skipif(not Path("/proc/self/ns/pid").is_symlink(), reason="namespaces are Linux's")
@pytest.mark.parametrize("space", ["--uts", "--pid --fork --mount-proc"], ids=["host name", "container"])
def test_systems_of_the_same_kernel_have_different_ids(space: str) -> None:
    script = (
        "import socket; socket.sethostname('elsewhere') if %r else 0;"
        "from pgchaos.server.run_id import system_id; print(system_id())"
    )
    command = ["unshare", *space.split(), sys.executable, "-c", script % (space == "--uts")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.strip()) == 12
    assert done.stdout.strip() != system_id()


def test_another_database_with_the_name_is_not_dropped(foreign_server: ForeignServer) -> None:
    run = RunId.new()
    maker = DatabaseFactory(foreign_server.dsn, run, ours=False, pgtap_from=None, created=CreatedDatabases())
    taken = f"pgchaos_{run.id}_1"
    with foreign_server.connect() as conn:
        conn.execute(f"CREATE DATABASE {taken}".encode())
        with pytest.raises(psycopg.errors.DuplicateDatabase):
            maker.clone("template0")
        maker.drop_all()
        maker.close()
        assert taken in foreign_server.databases()
        conn.execute(f"DROP DATABASE {taken}".encode())
