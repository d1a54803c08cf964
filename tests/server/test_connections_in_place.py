"""In place: a plain file reuses the connection of the file before only if it equals a new one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pgchaos.server import Server, ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import held
from tests.server.test_in_place import database_with_pgtap, play
from tests.waiting import until

AT = re.compile(r"at ([0-9]+)")
Backend = Callable[..., int]


@pytest.fixture
def shop(foreign_server: ForeignServer) -> Iterator[str]:
    """A database of the user's that has pgTAP, on a server where nobody else commits."""
    with database_with_pgtap(foreign_server, "connections") as dsn, foreign_server.connect() as conn:
        conn.execute("ALTER SYSTEM SET autovacuum = off")
        conn.execute("SELECT pg_reload_conf()")
        query = "SELECT FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum%'"
        until(lambda: conn.execute(query).fetchone() is None, "autovacuum has ended")
        yield dsn
        conn.execute("ALTER SYSTEM RESET autovacuum")
        conn.execute("SELECT pg_reload_conf()")


@pytest.fixture
def server(shop: str) -> Iterator[Server]:
    """A run in place."""
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        yield server


@pytest.fixture
def backend(server: Server, tmp_path: Path) -> Backend:
    """Runs a file whose assertions hold, and tells the process of its backend."""

    def ran(text: str = "", plan: int = 1, end: str = "ROLLBACK", before: str = "") -> int:
        where = "SELECT pass('at ' || pg_backend_pid());"
        lines = (before, "BEGIN;", f"SELECT plan({plan});", where, text, "SELECT * FROM finish();", f"{end};")
        result = play(server, tmp_path, "\n".join(lines))
        assert not result.failures
        found = AT.fullmatch(held(result)[0])
        assert found is not None
        return int(found[1])

    return ran


def test_the_next_file_has_the_connection_and_nothing_of_what_it_did(backend: Backend) -> None:
    before = r"""
        \set ON_ERROR_ROLLBACK 1
        SELECT set_config('work_mem', '77MB', false);
        PREPARE said AS SELECT 1;
        LISTEN news;
        SELECT pg_advisory_lock(4711);
    """
    first = backend(
        "CREATE SEQUENCE counter; SELECT nextval('counter'); SET ROLE pg_monitor; RESET ROLE;", before=before
    )
    nothing = """
        SELECT isnt(current_setting('work_mem'), '77MB', 'no setting');
        SELECT is_empty('SELECT FROM pg_prepared_statements WHERE name = ''said''', 'nothing prepared');
        SELECT is_empty('SELECT pg_listening_channels()', 'it listens to nothing');
        SELECT is_empty('SELECT FROM pg_locks WHERE objid = 4711', 'no lock');
    """
    assert backend(nothing, 5) == first
    assert backend() == first


NOTHING = "SELECT is(current_setting('my.own', true), NULL, 'nothing of it');"
LASTING = {
    "a setting of one's own": "SET my.own = 'seen';",
    "the same by a function": "SELECT set_config('my.own', 'seen', false);",
    "the same by a name that is put together": "SELECT set_config('my' || '.own', 'seen', false);",
    "a seed": "SELECT setseed(0.5);",
    "a seed by SET": "SET seed = 0.5;",
    "a seed by set_config": "SELECT set_config('seed', '0.5', false);",
    "a slot": "SELECT pg_create_physical_replication_slot('seen', true, true);",
    "a library": "LOAD 'auto_explain';",
}


def test_what_lasts_as_long_as_a_session_ends_it(backend: Backend) -> None:
    for what, text in LASTING.items():
        first = backend()
        assert backend(text) == first, what
        assert backend(NOTHING, 2) != first, what


FUNCTIONS = {
    "of plpgsql": "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$"
    " BEGIN RETURN set_config('my.' || 'own', 'seen', false); END $$",
    "of SQL, parsed": "CREATE FUNCTION f() RETURNS text LANGUAGE sql"
    " BEGIN ATOMIC SELECT set_config('my.' || 'own', 'seen', false); END",
    "with a setting": "CREATE FUNCTION f() RETURNS text LANGUAGE sql SET my.own = 'seen' AS 'SELECT 1::text'",
    "of the server under another name": "CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
    "of a view": "CREATE VIEW v AS SELECT set_config('my.' || 'own', 'seen', false) AS s;"
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT s FROM v'",
}


def test_a_function_that_may_do_such_a_thing_is_found_in_the_database(shop: str, backend: Backend) -> None:
    with psycopg.connect(shop, autocommit=True) as other:
        for of, text in FUNCTIONS.items():
            other.execute(text.encode())
            first = backend("SELECT lives_ok('SELECT f()');", 2)
            assert backend(NOTHING, 2) != first, of
            other.execute("DROP FUNCTION f()")


def test_harmless_functions_do_not_matter(shop: str, backend: Backend) -> None:
    with psycopg.connect(shop, autocommit=True) as other:
        other.execute("CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN $1 + 1; END $$")
        other.execute("CREATE FUNCTION g(int) RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT $1'")
    assert backend("SELECT is(f(1), 2);", 2) == backend()


def test_a_commit_of_the_file_or_of_another_ends_it(shop: str, backend: Backend) -> None:
    first = backend()
    assert backend("CREATE TABLE mine ();", end="COMMIT") == first
    second = backend()
    assert second != first
    assert backend() == second
    with psycopg.connect(shop, autocommit=True) as other:
        other.execute("ALTER DATABASE connections SET work_mem = '77MB'")
    assert backend("SELECT is(current_setting('work_mem'), '77MB', 'as of now');", 2) != second


def test_a_file_that_does_not_end_its_transaction_or_connection_does_no_harm(backend: Backend) -> None:
    first = backend()
    assert backend("CREATE TABLE mine (); SAVEPOINT a;", end="SAVEPOINT b") == first
    assert backend("SELECT hasnt_table('mine');", 2) == first
    assert backend(before="\\c") != first


def test_a_trigger_at_login_fires_for_each_file(shop: str, backend: Backend) -> None:
    with psycopg.connect(shop, autocommit=True) as other:
        if other.info.server_version < 170000:
            pytest.skip("event triggers at login came with PostgreSQL 17")
        other.execute(
            "CREATE FUNCTION at_login() RETURNS event_trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM set_config('work_mem', '78MB', false); END $$"
        )
        other.execute("CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION at_login()")
        other.execute("ALTER EVENT TRIGGER at_login ENABLE ALWAYS")
    text = "SELECT is(current_setting('work_mem'), '78MB', 'it fired');"
    assert backend(text, 2) != backend(text, 2)
