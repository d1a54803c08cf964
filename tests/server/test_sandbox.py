"""Databases for scenarios on a private server."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import pq

from pgchaos.server import Server, ServerError, ServerSettings, open_server
from pgchaos.server.conninfo import make_conninfo
from pgchaos.server.database_factory import connect_for_long
from tests.server.conftest import alive, living_in
from tests.waiting import until


def databases(server: Server) -> set[str]:
    with server.connect() as conn:
        return {str(name) for (name,) in conn.execute("SELECT datname FROM pg_database")}


def value(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        last = conn.execute(query.encode())
        while last.nextset():
            pass
        row = last.fetchone()
    return row[0] if row else None


def test_banner_says_version_and_whose_it_is(private_server: Server) -> None:
    assert private_server.banner.startswith(f"PostgreSQL {private_server.version // 10000}.")
    assert private_server.banner.endswith("(ours)")
    assert private_server.ours
    assert private_server.superuser


def test_sandbox_has_pgtap_and_the_toolkit(private_server: Server) -> None:
    with private_server.sandbox(()) as sandbox:
        assert not sandbox.in_place
        assert value(sandbox.conninfo, "SELECT current_database()") == sandbox.database
        assert str(value(sandbox.conninfo, "SELECT no_plan()")) == "None"
        assert value(sandbox.conninfo, "SELECT chaos.worker() IS NULL OR true") is True
        assert value(sandbox.conninfo, "SHOW lc_messages") == "C"


@pytest.mark.parametrize("extensions", [(), ("pg_trgm",)], ids=["prepared", "with an extension"])
def test_the_first_connection_finds_what_the_last_one_to_the_template_read(extensions: tuple[str, ...]) -> None:
    with open_server(ServerSettings(clones=0), {}) as server, server.sandbox(extensions) as sandbox:
        assert server.private is not None
        with server.connect() as conn:
            (oid,) = conn.execute("SELECT oid FROM pg_database WHERE datname = %s", [sandbox.database]).fetchone() or ()
        # no session was in it before
        assert (server.private.folder / f"data/base/{oid}/pg_internal.init").exists()


def test_sandboxes_share_nothing_and_are_dropped(private_server: Server) -> None:
    with private_server.sandbox(()) as one, private_server.sandbox(()) as two:
        assert one.database != two.database
        value(one.conninfo, "CREATE TABLE t AS SELECT 1; SELECT 1")
        assert value(two.conninfo, "SELECT to_regclass('t') IS NULL") is True
        assert {one.database, two.database} <= databases(private_server)
    until(lambda: not {one.database, two.database} & databases(private_server), "both dropped")


def test_sandbox_is_dropped_under_open_sessions(private_server: Server) -> None:
    with private_server.sandbox(()) as sandbox:
        conn = psycopg.connect(sandbox.conninfo)
        conn.execute("CREATE TABLE t ()")
    until(lambda: sandbox.database not in databases(private_server), "dropped")
    conn.close()


def test_extensions_are_created_with_what_they_need(private_server: Server) -> None:
    with private_server.sandbox(("earthdistance", "hstore")) as sandbox:
        query = "SELECT count(*) FROM pg_extension WHERE extname IN ('earthdistance', 'cube', 'hstore')"
        assert value(sandbox.conninfo, query) == 3


def test_extension_that_is_not_there_is_named_each_time(private_server: Server) -> None:
    for _ in range(2):
        with (
            pytest.raises(ServerError, match="extension no_such cannot be created"),
            private_server.sandbox(("no_such",)),
        ):
            pass
    with private_server.sandbox(()):
        pass


def test_many_threads_take_sandboxes(private_server: Server) -> None:
    together = threading.Barrier(6)

    def scenario(_: int) -> str:
        with private_server.sandbox(()) as sandbox:
            together.wait(30)
            value(sandbox.conninfo, "CREATE TABLE t AS SELECT 1; SELECT 1")
            return sandbox.database

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(scenario, range(12)))) == 12


def test_killed_backend_does_not_end_the_run() -> None:
    with open_server(ServerSettings(clones=0)) as server:
        with server.sandbox(()) as sandbox, psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
            os.kill(conn.info.backend_pid, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                conn.execute("SELECT 1")
        with server.sandbox(()) as sandbox:
            assert value(sandbox.conninfo, "SELECT 1") == 1


@pytest.mark.parametrize("answer", [pq.Ping.OK, pq.Ping.NO_RESPONSE])
def test_a_refusal_by_a_recovery_that_has_just_ended_is_not_final(
    monkeypatch: pytest.MonkeyPatch, answer: pq.Ping
) -> None:
    refused = 0
    ping = pq.PGconn.ping

    def slow_ping(conninfo: bytes) -> pq.Ping:
        """Answer when the server accepts connections again, as on a busy machine; crash it after the first refusal."""
        nonlocal refused
        refused += 1
        if refused == 1:
            admin.execute("ALTER DATABASE shut ALLOW_CONNECTIONS true")
            os.kill(stopped.info.backend_pid, signal.SIGSTOP)  # the recovery begins when this has ended
            os.kill(admin.info.backend_pid, signal.SIGKILL)
            until(lambda: ping(conninfo) == pq.Ping.REJECT, "the server recovers")
            return answer
        os.kill(stopped.info.backend_pid, signal.SIGCONT)
        until(lambda: ping(conninfo) == pq.Ping.OK, "the server has recovered")
        return pq.Ping.OK

    with open_server(ServerSettings(clones=0)) as server, server.connect() as stopped, server.connect() as admin:
        admin.execute("CREATE DATABASE shut ALLOW_CONNECTIONS false")
        library = SimpleNamespace(PGconn=SimpleNamespace(ping=slow_ping), Ping=pq.Ping)
        monkeypatch.setattr("pgchaos.server.database_factory.pq", library)
        connect_for_long(make_conninfo(admin.info.dsn, dbname="shut"), "test").close()
        assert refused == 2


def test_vanished_server_is_reported_and_closing_is_quick() -> None:
    server = open_server(ServerSettings(clones=1))
    assert server.private is not None
    folder, postmaster = server.private.folder, server.private.pid
    with server.sandbox(()):
        os.kill(postmaster, signal.SIGKILL)
        until(lambda: not alive(postmaster), "the postmaster gone")

    def refused() -> bool:
        try:
            with server.sandbox(()):
                return False  # one that was made before
        except ServerError as error:
            assert "the server cannot create a database" in str(error)  # noqa: PT017 - the first ones may still be lent
            return True

    until(refused, "a sandbox refused")
    before = time.monotonic()
    server.close()
    assert time.monotonic() - before < 10
    assert not folder.exists()
    assert not living_in(folder)


def test_closed_server_provides_nothing() -> None:
    server = open_server(ServerSettings())
    server.close()
    server.close()
    with pytest.raises(ServerError, match="closed"), server.sandbox(()):
        pass
