"""What plain files leave in a database of the user's: listed again only where somebody has committed something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgchaos.language.plain_files import Contents
from pgchaos.server import Server, ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import Play
from tests.server.test_in_place import PLAIN, database_with_pgtap, play
from tests.waiting import until

NOTHING = PLAIN.format("pass('nothing is left')")


@pytest.fixture
def shop(foreign_server: ForeignServer) -> Iterator[str]:
    """A database of the user's that has pgTAP."""
    with database_with_pgtap(foreign_server, "objects") as dsn:
        yield dsn


@pytest.fixture
def server(shop: str) -> Iterator[Server]:
    """A run in place."""
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        yield server


def note(*left: str) -> list[str]:
    return [f"the file left in database objects: {', '.join(left)}"]


def test_they_are_not_listed_again_where_nothing_was_committed(server: Server, tmp_path: Path) -> None:
    with server.sandbox(contents=Contents.PGTAP) as sandbox:
        objects = sandbox.objects

    def kept() -> bool:
        assert play(server, tmp_path, NOTHING).notes == []
        before = objects.names
        rolled_back = play(
            server, tmp_path, f"BEGIN; CREATE TABLE t (); SAVEPOINT a; CREATE TABLE u (); ROLLBACK; {NOTHING}"
        )
        assert rolled_back.notes == []
        return objects.names is before

    # an ANALYZE of autovacuum is a transaction too
    until(kept, "the list is kept")
    assert ("extension", "pgtap") in objects.names


def test_what_a_file_commits_is_its_own_and_what_others_commit_is_not(
    server: Server, shop: str, tmp_path: Path
) -> None:
    assert play(server, tmp_path, NOTHING).notes == []
    with psycopg.connect(shop, autocommit=True) as other:
        other.execute("CREATE TABLE of_another ()")
    assert play(server, tmp_path, NOTHING).notes == []
    assert play(server, tmp_path, f"CREATE TABLE mine (); {NOTHING}").notes == note("table public.mine")
    within = f"BEGIN; SAVEPOINT a; CREATE TABLE within (); RELEASE a; COMMIT; {NOTHING}"
    assert play(server, tmp_path, within).notes == note("table public.within")
    assert play(server, tmp_path, NOTHING).notes == []


def test_a_role_that_a_file_commits_is_there_for_the_next(server: Server, shop: str, tmp_path: Path) -> None:
    made = play(server, tmp_path, f"CREATE ROLE of_the_suite; {NOTHING}")
    try:
        assert made.failures == []
        assert made.notes == ["the file left on the server: role of_the_suite"]
        after = play(server, tmp_path, PLAIN.format("has_role('of_the_suite')"))
        assert (after.failures, after.notes) == ([], [])
    finally:
        with psycopg.connect(shop, autocommit=True) as conn:
            conn.execute("DROP ROLE IF EXISTS of_the_suite")
    (slot,) = play(server, tmp_path, f"SELECT pg_create_physical_replication_slot('held'); {NOTHING}").failures
    assert slot.names == ("slot",), "it keeps WAL until somebody drops it"


def test_a_transaction_that_was_open_before_counts_when_it_is_committed(
    server: Server, shop: str, tmp_path: Path
) -> None:
    with psycopg.connect(shop, autocommit=True) as other:
        other.execute("BEGIN")
        other.execute("CREATE TABLE prepared ()")
        other.execute("PREPARE TRANSACTION 'before'")
        # of later ids, so that it lies before the end of them
        other.execute("CREATE TABLE later ()")
        for _ in range(2):
            assert play(server, tmp_path, NOTHING).notes == []
        assert play(server, tmp_path, f"COMMIT PREPARED 'before'; {NOTHING}").notes == note("table public.prepared")


def test_another_search_path_leaves_nothing(server: Server, shop: str, tmp_path: Path) -> None:
    with psycopg.connect(shop, autocommit=True) as other:
        other.execute("CREATE SCHEMA app")
        other.execute("CREATE TABLE app.t ()")
        assert play(server, tmp_path, NOTHING).notes == []
        other.execute("ALTER DATABASE objects SET search_path = app, public")
        assert play(server, tmp_path, NOTHING).notes == []
    assert play(server, tmp_path, f"CREATE TABLE u (); {NOTHING}").notes == note("table app.u")


def test_what_a_scenario_hides_of_the_user_is_not_taken_for_new(server: Server, shop: str, tmp_path: Path) -> None:
    with psycopg.connect(shop, autocommit=True) as user:
        user.execute("CREATE TABLE orders (id int, n int)")
        user.execute("CREATE FUNCTION total(orders) RETURNS int LANGUAGE sql AS 'SELECT $1.n'")
        user.execute("INSERT INTO orders VALUES (1, 1), (1, 1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            user.execute("CREATE UNIQUE INDEX CONCURRENTLY orders_n ON orders (n)")
    hides = """
        -- chaos:setup
        CREATE TABLE orders (id int);
        CREATE INDEX orders_n ON orders (id);
        {}
        -- chaos:check
        SELECT pass('it runs');
    """
    assert play(server, tmp_path, hides.format("")).failures == []
    (failure,) = play(server, tmp_path, hides.format("CREATE TABLE public.left_here ();")).failures
    assert failure.text.startswith("left behind: object: table public.left_here")
    fails = "INSERT INTO orders VALUES (1), (1);\n-- chaos:session s\n-- chaos:expect 23505\n"
    fails += "CREATE UNIQUE INDEX CONCURRENTLY of_its_own ON orders (id);"
    (failure,) = play(server, tmp_path, hides.format(fails)).failures
    assert failure.text.startswith("left behind: invalid index: chaos_sandbox.of_its_own")


LEFT = {
    'table public."The table"': 'CREATE TABLE public."The table" (a int)',
    "view app.seen": "CREATE VIEW app.seen AS SELECT 1",
    "materialized view app.stored": "CREATE MATERIALIZED VIEW app.stored AS SELECT 1",
    "sequence app.numbers": "CREATE SEQUENCE app.numbers",
    "index app.found": "CREATE INDEX found ON app.given (a)",
    "function app.f(integer,app.mood)": "CREATE FUNCTION app.f(a int, app.mood) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "procedure app.p()": "CREATE PROCEDURE app.p() LANGUAGE sql AS 'SELECT 1'",
    "aggregate app.a(integer)": "CREATE AGGREGATE app.a(int) (sfunc = int4pl, stype = int)",
    # the second is in the scenario's schema, and removed with it
    "extension citext": "CREATE EXTENSION citext SCHEMA app; CREATE EXTENSION tcn",
    "schema other": "CREATE SCHEMA other",
}


def test_a_scenario_s_object_is_named_with_its_schema_and_how_to_drop_it(
    server: Server, shop: str, tmp_path: Path
) -> None:
    with psycopg.connect(shop, autocommit=True) as own:
        own.execute("CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM (); CREATE TABLE app.given (a int)")
        # names do not depend on what the path contains
        own.execute("ALTER DATABASE objects SET search_path = app, public")
        setup = "".join(f"{made};\n" for made in LEFT.values())
        result = Play(server, tmp_path)(
            f"-- chaos:setup\n{setup}-- chaos:session a\nSELECT 1;\n-- chaos:check\nSELECT pass('checked');\n"
        )
        found = {}
        for failure in result.failures:
            what, _, statement = failure.text.partition("; it stays in the database; to remove it: ")
            found[what.removeprefix("left behind: object: ")] = statement
        assert found.keys() == LEFT.keys()
        for statement in found.values():
            own.execute(statement.encode())
        assert own.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'app'::regnamespace").fetchone() == (1,)
