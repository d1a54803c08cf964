"""Defaults that a role or a database sets apply to the scenario's sessions, not to the run's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine import kept_connections
from pgchaos.engine.admin_connection import AdminConnection
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.faults import fault_connection
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.loop import run_sync
from pgchaos.server import Server, ServerSettings, open_server
from pgchaos.server.settings import ServerError
from pgchaos.stop import Stop
from tests.conftest import ForeignServer
from tests.engine.playing import Play, held

# what each of a run's own sessions begins with all the same
SET = {
    "statement_timeout": ("45s", "0"),
    "lock_timeout": ("45s", "0"),
    "idle_session_timeout": ("45s", "0"),
    "idle_in_transaction_session_timeout": ("45s", "0"),
    "default_transaction_read_only": ("on", "off"),
    "default_transaction_deferrable": ("on", "off"),
    "default_transaction_isolation": ("serializable", "read committed"),
    "standard_conforming_strings": ("off", "on"),
}
SEARCH = r"""
    -- chaos:schedule all
    -- chaos:matrix word in 'it''s \d'
    -- chaos:setup
    CREATE TABLE counter (hits int);
    INSERT INTO counter VALUES (0);
    -- chaos:session client x 2
    UPDATE counter SET hits = hits + 1;
    SELECT chaos.assert(length(chaos.var('word')) = 7, 'the word is whole');
    -- chaos:invariant
    SELECT count(*) = 1 AS "one row" FROM counter;
    -- chaos:check
    SELECT is(hits, 2, 'both counted') FROM counter;
    SELECT chaos.eventually('SELECT true ; ', '1 s', 'it is true');
    SELECT chaos.no_leaks('nothing is left behind');
    SELECT is_empty('SELECT FROM chaos.locks WHERE locktype = ''advisory''', 'nobody holds a lock');
"""
WORD = r"it's \d"
HELD = {"the word is whole", "both counted", "it is true", "nothing is left behind", "nobody holds a lock"}


@pytest.fixture
def factory(foreign_server: ForeignServer) -> Iterator[ConnectionFactory]:
    dsn = foreign_server.role("moody", "LOGIN CREATEDB SUPERUSER")
    with open_server(ServerSettings(dsn=dsn)) as server, server.sandbox() as sandbox:
        with foreign_server.connect() as conn:
            for name, (value, _) in SET.items():
                conn.execute(f"ALTER ROLE moody SET {name} = '{value}'".encode())
        yield ConnectionFactory(sandbox)


def test_the_own_connections_of_a_run_begin_with_their_own(
    factory: ConnectionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault_connection, "_MOST", 1)
    shows = "SELECT " + ", ".join(f"current_setting('{name}')" for name in SET)
    with closing(Stop()) as stop:
        admin, fault = AdminConnection(factory, stop, set(), []), FaultConnection(factory, stop, set())
        role, own = map(list, zip(*SET.values(), strict=True))
        # it reads what the sessions of the scenario begin with: whether they wait for locks without limit
        assert [*map(list, admin.connection().ask(shows).rows())] == [role]
        asked = run_sync(fault.ask(shows))
        assert asked is not None
        assert [*map(list, asked)] == [own]
        run_sync(fault.take_connections())
        # they only stay
        assert [*map(list, fault._taken[0].ask("SHOW idle_session_timeout").rows())] == [["0"]]
        run_sync(fault.close())
        admin.close()


@pytest.mark.parametrize("in_place", [False, True], ids=["own database", "in place"])
def test_backslashes_mean_the_same_whatever_strings_are(shop: str, tmp_path: Path, *, in_place: bool) -> None:
    dsn = make_conninfo(shop, options="-c standard_conforming_strings=off -c backslash_quote=off")
    with open_server(ServerSettings(dsn=dsn, in_place=in_place)) as server:
        result = Play(server, tmp_path)(SEARCH, word=WORD)
    assert set(held(result)) == HELD


def test_a_plan_that_is_not_as_expected_is_made_once(
    private_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "_PLANNED", "SELECT false")
    assert set(held(Play(private_server, tmp_path)(SEARCH, word=WORD))) == HELD


def test_a_short_time_out_of_transactions_does_not_end_the_run(foreign_server: ForeignServer) -> None:
    dsn = foreign_server.role("short_timeout")
    with foreign_server.connect() as conn:
        if conn.info.server_version < 170000:
            pytest.skip("transaction_timeout came with PostgreSQL 17")
        with open_server(ServerSettings(dsn=dsn)) as server:
            conn.execute("ALTER ROLE short_timeout SET transaction_timeout = '20ms'")
            with server.connect() as own:
                own.execute("SELECT pg_sleep(0.1)")
            with server.sandbox(schema=True):
                (shared,) = server._sandboxes._shared.values()
                assert shared._conn is not None
                assert shared._conn.execute("SHOW transaction_timeout").fetchone() == ("0",)


def test_a_server_that_refuses_a_question_is_named(theirs: Server) -> None:
    with pytest.raises(ServerError, match="division by zero"):
        theirs._count("SELECT 1 / 0")
