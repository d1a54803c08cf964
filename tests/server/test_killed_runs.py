"""A run that is killed while it makes a database leaves none behind."""

from __future__ import annotations

import random

import pytest

from pgchaos.server import ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.server.conftest import alive
from tests.server.killed_runs import ROUNDS, backends, kill_guard, maker_run, making, no_database_can_be_made
from tests.waiting import until

ROLES = pytest.mark.parametrize("options", ["LOGIN SUPERUSER", "LOGIN CREATEDB"], ids=["superuser", "createdb"])


@ROLES
@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_within_create_database(foreign_server: ForeignServer, options: str, number: int) -> None:
    dsn, before = foreign_server.role("maker", options), foreign_server.databases()
    with maker_run(dsn, steps=True) as run:
        with no_database_can_be_made(foreign_server):
            run.go()
            guard = run.guard().pid
            until(lambda: any(waits for _, waits in making(foreign_server, run.id)), "CREATE DATABASE has begun")
            run.kill()
            if number % 2:  # the guard comes while it goes on waiting, or when the lock is given back
                until(lambda: backends(foreign_server, run.id) == 0, "the guard has ended the backend")
        until(lambda: not alive(guard), "the guard has done its work")
        assert backends(foreign_server, run.id) == 0
        assert foreign_server.databases() == before


@ROLES
@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_while_create_database_works(foreign_server: ForeignServer, options: str, number: int) -> None:
    dsn, before = foreign_server.role("maker", options), foreign_server.databases()
    with maker_run(dsn) as run:
        guard = run.guard().pid
        chance = random.Random(number)
        for _ in range(chance.randrange(4)):
            run.receive()
        until(lambda: making(foreign_server, run.id), "CREATE DATABASE works")
        run.kill()
        until(lambda: not alive(guard), "the guard has done its work")
        assert backends(foreign_server, run.id) == 0
        assert foreign_server.databases() == before


@ROLES
def test_next_run_removes_what_a_killed_run_had_half_made(foreign_server: ForeignServer, options: str) -> None:
    dsn, before = foreign_server.role("maker", options), foreign_server.databases()
    with maker_run(dsn, steps=True) as run:
        with no_database_can_be_made(foreign_server):
            run.go()
            until(lambda: any(waits for _, waits in making(foreign_server, run.id)), "CREATE DATABASE has begun")
            kill_guard(run)
            run.kill()
        until(lambda: foreign_server.databases() != before, "it goes on without its client")
        with open_server(ServerSettings(dsn=dsn)) as server:
            assert foreign_server.databases() == before
            assert server.notes == []


def test_next_run_waits_for_what_a_killed_run_is_making(foreign_server: ForeignServer) -> None:
    # the backend is slow: it goes on only after the next run has begun
    dsn, before = foreign_server.role("maker"), foreign_server.databases()
    with maker_run(dsn, steps=True) as run:
        with no_database_can_be_made(foreign_server):
            run.go()
            until(lambda: any(waits for _, waits in making(foreign_server, run.id)), "CREATE DATABASE has begun")
            kill_guard(run)
            run.kill()
            assert foreign_server.databases() == before
        # the lock is free, and the database comes at any time from now on
        with open_server(ServerSettings(dsn=dsn)):
            assert backends(foreign_server, run.id) == 0
            assert foreign_server.databases() == before


@pytest.mark.parametrize("number", range(ROUNDS))
def test_run_killed_at_any_time(foreign_server: ForeignServer, number: int) -> None:
    dsn, before = foreign_server.role("maker"), foreign_server.databases()
    chance = random.Random(number)
    with maker_run(dsn) as run:
        guard = run.guard().pid
        for _ in range(chance.randrange(6)):
            run.receive()
        # a moment within the life of one database, which takes some tens of milliseconds
        for _ in range(chance.randrange(20)):
            making(foreign_server, run.id)
        run.kill()
        until(lambda: not alive(guard), "the guard has done its work")
        assert backends(foreign_server, run.id) == 0
        assert foreign_server.databases() == before
