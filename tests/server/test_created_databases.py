"""Which transactions made and dropped the databases of a run."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg.conninfo import make_conninfo

from pgchaos.server import Server, ServerSettings, open_server, start_private
from pgchaos.server.database_factory import CreatedDatabases
from tests.waiting import until


def test_nothing_is_explained_by_everybody() -> None:
    assert CreatedDatabases().explains([])


def test_what_was_noted_is_explained_and_nothing_else() -> None:
    created = CreatedDatabases()
    created.record(5)
    assert created.explains([5])
    assert not created.explains([5, 6])


def test_the_one_of_several_is_known_once_the_others_are() -> None:
    created = CreatedDatabases()
    created.record_one_of([5, 6])
    assert not created.explains([5])
    created.record(5)
    assert created.explains([5, 6])
    assert not created.explains([7])


def test_one_of_several_transactions_at_that_time_stays_unknown() -> None:
    created = CreatedDatabases()
    created.record_one_of([5, 6, 7])
    created.record(5)
    assert not created.explains([6])
    assert not created.explains([7])


def test_databases_that_come_and_go_are_explained_and_no_other_commit_is() -> None:
    with open_server(ServerSettings(), {}) as server, server.connect() as conn:
        conn.execute("ALTER SYSTEM SET autovacuum = off")
        conn.execute("SELECT pg_reload_conf()")
        with server.sandbox(reuse=True) as sandbox:
            since = conn.execute("SELECT txid_snapshot_xmax(txid_current_snapshot())").fetchone()
            with ThreadPoolExecutor(6) as pool:
                list(pool.map(lambda _: _use(server), range(12)))
            until(
                lambda: (
                    conn.execute("SELECT count(*) <= 4 FROM pg_database WHERE datname ~ '^pgchaos'").fetchone()
                    == (True,)
                ),
                "the template, ours and two ahead of use",
            )
            query = (
                "SELECT id FROM generate_series(%s::bigint, txid_snapshot_xmax(txid_current_snapshot()) - 1) id"
                " WHERE txid_status(id) = 'committed'"
            )
            made = {int(str(own)) for (own,) in conn.execute(query, since)}
            assert len(made) >= 20
            assert sandbox.explains(made)
            conn.execute("CREATE TABLE elsewhere ()")
            more = {int(str(own)) for (own,) in conn.execute(query, since)} - made
            assert len(more) == 1
            assert not sandbox.explains(more)


def _use(server: Server) -> None:
    with server.sandbox():
        pass


def test_a_synchronous_standby_that_is_not_there_delays_no_database() -> None:
    with start_private(settings={"synchronous_standby_names": "nobody"}) as private:
        dsn = make_conninfo(**private.parameters)
        began = time.monotonic()
        with open_server(ServerSettings(dsn=dsn)) as server:
            with server.sandbox() as sandbox, psycopg.connect(sandbox.conninfo) as conn:
                # the scenario's own sessions have the server's setting
                assert conn.execute("SHOW synchronous_commit").fetchone() == ("on",)
            with server.sandbox(schema=True) as sandbox:
                assert sandbox.schema
        assert time.monotonic() - began < 30
        with psycopg.connect(dsn) as conn:
            rows = conn.execute("SELECT datname FROM pg_database WHERE datname LIKE 'pgchaos%'").fetchall()
        assert rows == []
