"""Schemas in a database that several scenarios share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from pgchaos.server import Server, ServerError
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.schema_pool import SharedDatabase
from tests.waiting import until


@pytest.fixture
def shared(private_server: Server) -> Iterator[SharedDatabase]:
    """Schemas in a database of the test's own."""
    with private_server.sandbox() as sandbox:
        name, conninfo = sandbox.database, sandbox.conninfo
        database = SharedDatabase(name, conninfo, conninfo, conninfo, private_server.health)
        yield database
        database.close()


def ask(shared: SharedDatabase, query: str) -> list[object]:
    with psycopg.connect(shared.connection_cache.conninfo, autocommit=True) as conn:
        return [row[0] for row in conn.execute(query.encode())]


def schemas(shared: SharedDatabase) -> set[object]:
    return set(ask(shared, "SELECT nspname FROM pg_namespace WHERE nspname ~ '^chaos_s'"))


@contextmanager
def in_use(shared: SharedDatabase, name: str) -> Iterator[None]:
    """Have a connection hold a lock in a schema, so that it cannot be dropped."""
    with psycopg.connect(shared.connection_cache.conninfo) as straggler:
        straggler.execute(f"CREATE TABLE {name}.t ()".encode())
        straggler.commit()
        straggler.execute(f"LOCK TABLE {name}.t".encode())
        yield


def test_each_schema_is_given_once(shared: SharedDatabase) -> None:
    taken: list[str] = []
    threads = [threading.Thread(target=lambda: taken.extend(shared.take() for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(taken)) == 20
    assert set(taken) <= schemas(shared)


def test_a_schema_in_use_is_dropped_later_and_delays_no_other(shared: SharedDatabase) -> None:
    name = shared.take()
    with in_use(shared, name):
        shared.give_back(name)
        others = [shared.take() for _ in range(20)]
        for other in others:
            shared.give_back(other)
        until(lambda: not schemas(shared) & set(others), "the others are dropped")
        assert name in schemas(shared)
    until(lambda: name not in schemas(shared), "the held one is dropped when it is let go")


def test_restocked_schemas_are_new_and_all_there(shared: SharedDatabase) -> None:
    used = shared.take()
    until(lambda: len(schemas(shared)) > 1, "schemas are there")
    before = schemas(shared)
    shared.give_back(used)
    shared.restock()
    assert shared.is_restocked(30)
    after = schemas(shared)
    assert used not in after
    assert len(after) == len(before)


def test_a_database_with_a_schema_in_use_is_not_restocked(shared: SharedDatabase) -> None:
    name = shared.take()
    with in_use(shared, name):
        shared.give_back(name)
        shared.restock()
        assert not shared.is_restocked(0.3)
    shared.restock()
    assert shared.is_restocked(30)


def test_after_a_crash_of_the_server_schemas_are_made_again(own_server: Server) -> None:
    # the postmaster notices a killed backend a moment later: only another checkpointer says that it has recovered
    checkpointer = "SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    with own_server.sandbox((), schema=True) as sandbox, psycopg.connect(own_server.conninfo(sandbox.database)) as conn:
        before = conn.execute(checkpointer).fetchone()
        os.kill(conn.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")

        def again() -> bool:
            try:
                with psycopg.connect(sandbox.conninfo) as new:
                    return new.execute(checkpointer).fetchone() not in (None, before)
            except psycopg.OperationalError:
                return False

        until(again, "the server has recovered")
        for _ in range(8):
            with own_server.sandbox((), schema=True) as other, psycopg.connect(other.conninfo) as here:
                assert here.execute("SELECT current_schema()").fetchone() == (other.schema,)


def test_a_dropped_database_is_reported(private_server: Server) -> None:
    nowhere = private_server.conninfo("nowhere")
    shared = SharedDatabase("nowhere", nowhere, nowhere, "", private_server.health)
    try:
        for _ in range(2):
            with pytest.raises(ServerError, match=r'cannot create a schema: .*database "nowhere" does not exist'):
                shared.take()
    finally:
        shared.close()
    with pytest.raises(ServerError, match="is being closed"):
        shared.take()


class Thing:
    """Lies on a shelf."""

    def __init__(self) -> None:
        self.ended = False

    def shut(self, patience: float) -> None:
        assert patience > 0
        self.ended = True


def test_a_shelf_gives_what_was_put_last_and_each_once() -> None:
    connection_cache, one, two = ConnectionCache(""), Thing(), Thing()
    assert all([connection_cache.put(one), connection_cache.put(two)])
    assert connection_cache.take() is two
    assert connection_cache.take() is one
    assert connection_cache.take() is None


def test_a_shelf_has_an_end() -> None:
    connection_cache, things = ConnectionCache(""), [Thing() for _ in range(40)]
    kept = [thing for thing in things if connection_cache.put(thing)]
    assert 0 < len(kept) < 40
    assert connection_cache.clear() == len(kept)
    assert [thing.ended for thing in things] == [thing in kept for thing in things]
    assert connection_cache.put(late := Thing())
    connection_cache.close()
    assert late.ended
    assert not connection_cache.put(Thing())
