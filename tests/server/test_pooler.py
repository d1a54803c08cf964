"""A pooler between here and the server is recognised before anything is made, whatever mode it is in."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server import ServerError, ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import held
from tests.server.pgbouncer import pgbouncer

SCENARIO = """
-- One session
-- chaos:setup
CREATE TABLE t (id int);
-- chaos:session one
INSERT INTO t VALUES (1);
-- chaos:check
SELECT is(count(*), 1::bigint, 'inserted') FROM t;
"""
OBJECTS = """
    SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' UNION ALL SELECT extname FROM pg_extension
    UNION ALL SELECT relname FROM pg_class WHERE oid >= 16384 UNION ALL SELECT datname FROM pg_database ORDER BY 1
"""


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("ignored", ["extra_float_digits", "options"])
@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_it_is_named_and_nothing_is_made(
    foreign_server: ForeignServer, shop: str, mode: str, ignored: str, in_place: bool
) -> None:
    with psycopg.connect(shop, autocommit=True) as conn:
        before = conn.execute(OBJECTS).fetchall()
        with (
            pgbouncer(foreign_server, shop, mode, ignored) as dsn,
            pytest.raises(
                ServerError, match=r"a connection pooler is between .* \(PgBouncer 1\.\S+\): .* own host and"
            ),
        ):
            open_server(ServerSettings(dsn=dsn, in_place=in_place))
        assert conn.execute(OBJECTS).fetchall() == before


def test_a_pooler_that_hides_its_name_is_refused_too(foreign_server: ForeignServer, shop: str) -> None:
    foreign_server.role("reader", "LOGIN")
    with (
        pgbouncer(foreign_server, shop, "session") as dsn,
        pytest.raises(ServerError, match=r"a connection pooler is between .* \(PgBouncer, or a similar one\)"),
    ):
        open_server(ServerSettings(dsn=make_conninfo(dsn, user="reader"), in_place=True))


def test_one_that_refuses_the_options_of_the_user_is_recognised(foreign_server: ForeignServer, shop: str) -> None:
    with (
        pgbouncer(foreign_server, shop, "session") as dsn,
        pytest.raises(ServerError, match="a connection pooler is between"),
    ):
        open_server(ServerSettings(dsn=make_conninfo(dsn, options="-c work_mem=1MB"), in_place=True))


def test_a_session_that_does_not_begin_as_asked_stops_the_scenario(shop: str) -> None:
    """What a pooler does to one of several routes, a login event trigger does here, for want of a pooler that hides."""
    with psycopg.connect(shop, autocommit=True) as conn, open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        if server.version < 170000:
            pytest.skip("login event triggers came with PostgreSQL 17")
        conn.execute("""
            CREATE FUNCTION public.login() RETURNS event_trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM set_config('search_path', 'elsewhere', false); END $$;
            CREATE EVENT TRIGGER login ON login EXECUTE FUNCTION public.login();
        """)
        before = conn.execute(OBJECTS).fetchall()
        with (
            pytest.raises(ServerError, match=r"nothing was created .* search_path = .* started with elsewhere"),
            server.sandbox(),
        ):
            pass
        assert conn.execute(OBJECTS).fetchall() == before


FAULT = """
-- A fault in place
-- chaos:setup
CREATE TABLE t (id int);
-- chaos:session one
-- chaos:fault terminate
-- chaos:expect 57P01
INSERT INTO t VALUES (1);
-- chaos:check
SELECT is_empty('TABLE t', 'nothing was inserted');
"""


def test_a_login_trigger_that_sets_a_timeout_does_not_prevent_faults(shop: str, tmp_path: Path) -> None:
    path = tmp_path / "one.sql"
    path.write_text(FAULT)
    with psycopg.connect(shop, autocommit=True) as conn, open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        if server.version < 170000:
            pytest.skip("login event triggers came with PostgreSQL 17")
        conn.execute("""
            CREATE FUNCTION public.login() RETURNS event_trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM set_config('lock_timeout', '45s', false); END $$;
            CREATE EVENT TRIGGER login ON login EXECUTE FUNCTION public.login();
        """)
        assert held(run(read(path), {}, server, RunSettings(1, 60.0))) == ["nothing was inserted"]


def test_each_connection_is_checked(shop: str, tmp_path: Path) -> None:
    path = tmp_path / "one.sql"
    path.write_text(SCENARIO)
    with psycopg.connect(shop, autocommit=True) as conn, open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        assert held(run(read(path), {}, server, RunSettings(1, 60.0))) == ["inserted"]
        if server.version < 170000:
            pytest.skip("login event triggers came with PostgreSQL 17")
        # only sessions of scenarios: what is looked at before anything is made is as it should be
        conn.execute("""
            CREATE FUNCTION public.login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                IF current_setting('application_name') ~ '^one' THEN
                    PERFORM set_config('search_path', 'public', false);
                END IF;
            END $$;
            CREATE EVENT TRIGGER login ON login EXECUTE FUNCTION public.login();
        """)
        result = run(read(path), {}, server, RunSettings(1, 60.0))
        assert any("started with public" in failure.text for failure in result.failures), result.failures
        assert conn.execute("SELECT to_regclass('public.t')").fetchone() == (None,)
