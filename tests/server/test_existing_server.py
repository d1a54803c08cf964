"""On a server that is not ours only our own databases are touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.specs.session_cache import open_connection
from pgchaos.language.plain_files import Contents
from pgchaos.server import Server, ServerError, ServerSettings, open_server, start_private
from pgchaos.server.database_queue import Expected
from pgchaos.server.in_place import drop_extensions
from pgchaos.stop import Stop
from tests.conftest import ForeignServer
from tests.server.conftest import Runner
from tests.waiting import until


@pytest.fixture
def named(foreign_server: ForeignServer) -> Iterator[str]:
    """A database of the user's, with something in it."""
    with foreign_server.connect() as conn:
        conn.execute("CREATE DATABASE shop")
        with foreign_server.connect(dbname="shop") as shop:
            shop.execute("CREATE TABLE orders AS SELECT 1 AS id")
        yield make_conninfo(foreign_server.dsn, dbname="shop")
        conn.execute("DROP DATABASE shop WITH (FORCE)")


def contents(dsn: str) -> list[tuple[object, ...]]:
    """All that a user could see in a database, but for the system's own."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        return conn.execute(
            "SELECT 'schema', nspname, obj_description(oid) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'"
            " UNION ALL SELECT 'extension', extname, obj_description(oid) FROM pg_extension"
            " UNION ALL SELECT 'function', proname, NULL FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " UNION ALL SELECT 'table', relname, NULL FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " ORDER BY 1, 2"
        ).fetchall()


def test_a_prepared_database_is_ready_and_is_dropped_at_the_end(
    foreign_server: ForeignServer,
) -> None:
    before = foreign_server.databases()
    with open_server(ServerSettings(dsn=foreign_server.role("tester"))) as server:
        server.prepare(Expected(Contents.TOOLKIT))
        until(lambda: len(foreign_server.databases() - before) > 1, "a template and a clone of it are made")
        with server.sandbox() as sandbox:
            assert sandbox.database in foreign_server.databases()
        server.end()
        until(lambda: foreign_server.databases() == before, "all are dropped, the server not closed yet")
        with pytest.raises(ServerError, match="is being closed"), server.sandbox():
            pass


@pytest.mark.parametrize(("expected", "made"), [(None, 4), (1, 2), (2, 3)])
def test_no_database_is_created_that_no_scenario_will_use(
    foreign_server: ForeignServer, expected: int | None, made: int
) -> None:
    before = foreign_server.databases()
    with open_server(ServerSettings(dsn=foreign_server.role("tester"), clones=2)) as server:
        server.prepare(Expected(Contents.TOOLKIT, expected))
        with server.sandbox():
            server.wait_until_idle()
            # a template, this one, and those that are kept ready
            assert len(foreign_server.databases() - before) == made


def test_ordinary_role_gets_databases_of_its_own(foreign_server: ForeignServer) -> None:
    dsn = foreign_server.role("tester")
    before = foreign_server.databases()
    with open_server(ServerSettings(dsn=dsn)) as server:
        assert not server.ours
        assert not server.superuser
        assert "role tester (not ours: works only in databases pgchaos_…)" in server.banner
        assert foreign_server.databases() == before, "nothing is made before it is needed"
        with server.sandbox(("hstore",)) as sandbox, psycopg.connect(sandbox.conninfo) as conn:
            assert sandbox.database.startswith("pgchaos_")
            conn.execute("SELECT no_plan()")
            made = foreign_server.databases() - before
            assert all(name.startswith("pgchaos_") for name in made)
            with foreign_server.connect() as admin:
                owners = admin.execute(
                    "SELECT DISTINCT pg_get_userbyid(datdba) FROM pg_database WHERE datname ~ 'pgchaos'"
                )
                assert owners.fetchall() == [("tester",)]
    assert foreign_server.databases() == before


def test_role_without_createdb_gets_advice(foreign_server: ForeignServer) -> None:
    dsn = foreign_server.role("reader", "LOGIN")
    with pytest.raises(ServerError, match=r'ALTER ROLE "reader" CREATEDB.*--chaos-in-place'):
        open_server(ServerSettings(dsn=dsn))


def test_refusal_for_another_reason_than_access_is_not_blamed_on_the_password(foreign_server: ForeignServer) -> None:
    dsn = foreign_server.role("reader")
    with foreign_server.connect() as conn:
        conn.execute("ALTER ROLE reader SET local_preload_libraries = 'not_there'")
    with pytest.raises(ServerError, match=r"not_there(?s:.)*refuses this connection, for the reason above"):
        open_server(ServerSettings(dsn=dsn))


def test_a_role_whose_sessions_begin_as_another_is_refused(foreign_server: ForeignServer) -> None:
    foreign_server.role("owner")
    dsn = foreign_server.role("clerk", "LOGIN IN ROLE owner CREATEDB")
    with foreign_server.connect() as conn:
        conn.execute("ALTER ROLE clerk SET role = 'owner'")
    with pytest.raises(ServerError, match=r"role clerk begin as role owner .*PGOPTIONS='-c role=none'"):
        open_server(ServerSettings(dsn=dsn))
    open_server(ServerSettings(dsn=make_conninfo(dsn, options="-c role=none"))).close()


def test_databases_of_others_are_never_touched(foreign_server: ForeignServer) -> None:
    dsn = foreign_server.role("tester")
    with foreign_server.connect() as conn:
        conn.execute("CREATE DATABASE pgchaos_0badcafe_1")  # a dead run's by its name, but another role's
        conn.execute("CREATE DATABASE pgchaos_mine OWNER tester")  # our role's, but not a run's name
        conn.execute("CREATE DATABASE pgchaos_0badcafe_2 OWNER tester")  # and this has no record of a run
    names = {"pgchaos_0badcafe_1", "pgchaos_mine", "pgchaos_0badcafe_2"}
    with open_server(ServerSettings(dsn=dsn)) as server:
        assert names <= foreign_server.databases()
        (note,) = server.notes
        assert "no run is recorded as the owner: pgchaos_0badcafe_2." in note
        assert note.endswith('DROP DATABASE "pgchaos_0badcafe_2"')
    with foreign_server.connect() as conn:
        for name in names:
            conn.execute(f"DROP DATABASE {name}".encode())


def test_in_place_leaves_nothing(foreign_server: ForeignServer, named: str) -> None:
    before, databases = contents(named), foreign_server.databases()
    with open_server(ServerSettings(dsn=named, in_place=True)) as server:
        assert server.banner.endswith("(not ours: works in place in database shop)")
        for _ in range(2):
            with server.sandbox(("hstore",)) as sandbox, psycopg.connect(sandbox.conninfo) as conn:
                assert sandbox.in_place
                assert sandbox.database == "shop"
                conn.execute("SELECT no_plan(), chaos.worker(), id, 'a=>1'::hstore FROM orders")
        assert foreign_server.databases() == databases
        assert contents(named) == before


def test_extension_stays_that_something_of_the_user_s_depends_on(foreign_server: ForeignServer, named: str) -> None:
    with foreign_server.connect(dbname="shop") as shop:
        for name in ("hstore", "cube", "earthdistance"):
            shop.execute(f"CREATE EXTENSION {name}; COMMENT ON EXTENSION {name} IS 'of the run'".encode())
        shop.execute("CREATE TABLE theirs (h hstore)")
        with pytest.raises(psycopg.errors.DependentObjectsStillExist):
            drop_extensions(shop, ["cube", "earthdistance", "hstore"])
        shop.execute("SELECT h FROM theirs")
        assert [comment for kind, _, comment in contents(named) if comment == "of the run"] == []
        drop_extensions(shop, ["cube", "earthdistance"])
        shop.execute("DROP TABLE theirs")
        drop_extensions(shop, ["hstore"])
        assert not [name for kind, name, _ in contents(named) if kind == "extension" and name != "plpgsql"]


def test_in_place_needs_no_createdb(foreign_server: ForeignServer, named: str) -> None:
    foreign_server.role("reader", "LOGIN")
    dsn = make_conninfo(named, user="reader")
    with open_server(ServerSettings(dsn=dsn, in_place=True)) as server:
        with pytest.raises(ServerError, match="GRANT CREATE ON DATABASE shop TO reader"), server.sandbox(()):
            pass
        with foreign_server.connect() as conn:
            conn.execute("GRANT CREATE ON DATABASE shop TO reader")
        with server.sandbox(()) as sandbox, psycopg.connect(sandbox.conninfo) as session:
            session.execute("SELECT no_plan()")


def test_in_place_refuses_a_schema_that_is_not_ours(named: str) -> None:
    with psycopg.connect(named, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA chaos CREATE TABLE precious ()")
    with (
        open_server(ServerSettings(dsn=named, in_place=True)) as server,
        pytest.raises(ServerError, match="schema chaos that is not ours"),
        server.sandbox(()),
    ):
        pass
    with psycopg.connect(named) as conn:
        conn.execute("TABLE chaos.precious")


def test_in_place_needs_a_database_that_is_named(foreign_server: ForeignServer) -> None:
    dsn = make_conninfo("", host=foreign_server.private.parameters["host"], user="postgres")
    with pytest.raises(ServerError, match="needs a database that is named"):
        open_server(ServerSettings(dsn=dsn, in_place=True))
    with pytest.raises(ServerError, match="needs a database that is named"):
        open_server(ServerSettings(in_place=True), {})


def test_killed_run_in_place_leaves_nothing(start_runner: Callable[..., Runner], named: str) -> None:
    before = contents(named)
    runner = start_runner(named, in_place=True)
    assert contents(named) != before
    runner.process.kill()
    until(lambda: contents(named) == before, "the user's database as it was")


HOLDS = """-- A session works for long
-- chaos:setup
CREATE TABLE held (id int);
-- chaos:session holder
BEGIN;
INSERT INTO held VALUES (1); UPDATE orders SET id = id;
SELECT pg_sleep(600);
-- chaos:check
SELECT pass('unreached');
"""


HOLDS_IN_SPEC = """setup { CREATE TABLE held (id int); }
session holder
step inserts { BEGIN; INSERT INTO held VALUES (1); UPDATE orders SET id = id; }
step sleeps { SELECT pg_sleep(600); }
permutation inserts sleeps
"""


@pytest.mark.parametrize(("name", "text"), [("holds.sql", HOLDS), ("holds.spec", HOLDS_IN_SPEC)])
def test_sessions_of_a_killed_run_in_place_are_ended(named: str, tmp_path: Path, name: str, text: str) -> None:
    before = contents(named)
    (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pgchaos", "run", name, f"--chaos-dsn={named}", "--chaos-in-place"]
    with psycopg.connect(make_conninfo(named, application_name="holder[1]"), autocommit=True) as other:

        def sleeping() -> int:
            rows = other.execute("SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'").fetchall()
            return len(rows)

        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
            try:
                until(sleeping, "the session of the scenario at work")
            finally:
                process.kill()
        until(lambda: contents(named) == before and not sleeping(), "the user's database as it was", 8.0)
        other.execute("SELECT 'not ended for its name'")


def test_next_run_in_place_clears_up(start_runner: Callable[..., Runner], named: str) -> None:
    before = contents(named)
    runner = start_runner(named, in_place=True)
    with open_server(ServerSettings(dsn=named, in_place=True)) as server:
        with (
            pytest.raises(ServerError, match=f"in use by another run, process {runner.process.pid} on .*: wait for"),
            server.sandbox(),
        ):
            pass
        runner.kill_supervisor()
        runner.process.kill()
        runner.process.wait()

        def works() -> bool:
            try:
                with server.sandbox():
                    return True
            except ServerError:  # as long as the server has not seen that the killed run's connection is gone
                return False

        until(works, "the leftover removed")
    assert contents(named) == before


def test_missing_server_is_reported_with_advice() -> None:
    with pytest.raises(ServerError, match=r"named by --chaos-dsn: (?s:.)*remove --chaos-dsn to use a private server"):
        open_server(ServerSettings(dsn="host=/nonexistent dbname=x"))


def test_named_database_is_the_one_to_administer_from(foreign_server: ForeignServer, named: str) -> None:
    with open_server(ServerSettings(dsn=named)) as server, server.connect() as conn:
        assert conn.info.dbname == "shop"
    with foreign_server.connect(dbname="shop") as conn:
        assert conn.execute("SELECT count(*) FROM orders").fetchone() == (1,)


def test_harm_is_permitted_by_the_name_of_the_database(named: str) -> None:
    with open_server(ServerSettings(dsn=named)) as server:
        assert not server.may_be_harmed
    with open_server(ServerSettings(dsn=named, allow_destructive=("shop",))) as server:
        assert server.may_be_harmed


def test_libpq_environment_names_the_server(foreign_server: ForeignServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", foreign_server.private.parameters["host"])
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.delenv("PG_BINDIR", raising=False)
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=1234kB")
    with open_server(ServerSettings()) as server, server.sandbox(()) as sandbox:
        assert not server.ours
        with psycopg.connect(sandbox.conninfo) as conn:
            assert conn.execute("SHOW work_mem").fetchone() == ("1234kB",)
            assert conn.execute("SHOW lc_messages").fetchone() == ("C",)


def test_a_server_that_vanishes_does_not_delay_the_end() -> None:
    with start_private() as foreign:
        with open_server(ServerSettings(dsn=make_conninfo(**foreign.parameters))) as server, server.sandbox():
            os.kill(foreign.pid, signal.SIGKILL)
            before = time.monotonic()
        assert time.monotonic() - before < 10


class Idle:
    """A connection that waits in a cache."""

    def __init__(self, dsn: str) -> None:
        self.conn = psycopg.connect(dsn)

    def shut(self, patience: float) -> None:
        del patience
        self.conn.close()


@contextmanager
def without_free_slots(foreign_server: ForeignServer) -> Iterator[Server]:
    """Open a server as a role that may open no further connection until the server's unused ones are closed."""
    dsn = foreign_server.role("sparing", "LOGIN CREATEDB")
    with open_server(ServerSettings(dsn=dsn, clones=1)) as server, foreign_server.connect() as conn:
        with server.sandbox():
            pass
        server.wait_until_idle()
        unused = [Idle(dsn) for _ in range(4)]
        assert all(server.spec_monitors.put(one) for one in unused)
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sparing'"
        row = conn.execute(query).fetchone()
        assert row is not None
        conn.execute(f"ALTER ROLE sparing CONNECTION LIMIT {row[0]}".encode())
        yield server
        assert all(one.conn.closed for one in unused)


def test_unused_connections_make_room_for_reading_a_database(foreign_server: ForeignServer) -> None:
    with without_free_slots(foreign_server) as server, server.sandbox(schema=True) as sandbox:
        assert sandbox.schema


def test_unused_connections_make_room_for_a_spec(foreign_server: ForeignServer) -> None:
    with without_free_slots(foreign_server) as server, closing(Stop()) as stop:
        open_connection(server, server.conninfo(), stop, 5.0).drop()
