"""A scenario that needs the user's tables says so, where that is likely."""

from __future__ import annotations

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.missing_relations import relation_at
from pgchaos.server import ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import Play, held, only

NEEDS = """
-- chaos:setup
{setup}
-- chaos:session a
SELECT 1, count(*)
  FROM {name};
-- chaos:check
SELECT pass('checked');
"""


@pytest.mark.parametrize(
    ("name", "setup"),
    [
        ("customers", "CREATE TABLE orders (id int);"),
        ("public.customers", "CREATE TABLE orders (customers int);"),
        (
            '"customers"',
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO customers VALUES (1); END $$;",
        ),
    ],
)
def test_a_table_that_no_statement_creates_may_be_the_user_s(play: Play, name: str, setup: str) -> None:
    *_, hint = only(play(NEEDS.format(name=name, setup=setup))).details
    bare = name.removeprefix("public.")
    assert hint.startswith(f"HINT: the file creates no {bare}, and it ran in a new database. If {bare} is a table of")
    assert "--chaos-in-place, with the database in PGDATABASE or --chaos-dsn" in hint


@pytest.mark.parametrize(
    ("name", "setup"),
    [
        ("customers", "CREATE UNLOGGED TABLE IF NOT EXISTS customers (id int); DROP TABLE customers;"),
        ("customers", "CREATE TEMP TABLE pg_temp.customers (id int);"),
        ("customers", "SELECT 1 AS id INTO TEMP customers; DROP TABLE customers;"),
        ("customers", "DO $$ BEGIN IF false THEN EXECUTE 'CREATE TABLE customers ()'; END IF; END $$;"),
        ("customers", "DO $$ BEGIN IF false THEN EXECUTE format('CREATE TABLE %I ()', 'a'); END IF; END $$;"),
        ("customers", "DO $$ BEGIN IF false THEN EXECUTE 'CREATE TABLE ' || 'a'; END IF; END $$;"),
        ("customers", "\\set name orders\nCREATE TABLE :name (id int);"),
        ("customers", "CREATE TABLE orders (id int); ALTER TABLE orders RENAME TO customers; DROP TABLE customers;"),
        ("pg_stat_statements", "SELECT 1;"),
    ],
)
def test_a_table_that_is_created_somewhere_is_the_scenario_s(play: Play, name: str, setup: str) -> None:
    failure = only(play(NEEDS.format(name=name, setup=setup)))
    assert failure.names[0] == "42P01"
    assert not any("--chaos-in-place" in line for line in failure.details)


@pytest.mark.parametrize(
    "query",
    [
        # the position is that of the statement as sent
        "SELECT :'word', count(*) FROM customers;",
        "SELECT :word, count(*) FROM customers;",
        # no table is missing
        "SELECT o.id FROM orders;",
    ],
)
def test_no_other_name_is_taken_for_that_of_a_table(play: Play, query: str) -> None:
    head = "-- chaos:setup\nCREATE TABLE orders (id int);\n-- chaos:session a\n\\set word 1\n"
    failure = only(play(f"{head}{query}\n-- chaos:check\nSELECT pass('checked');\n"))
    assert failure.names[0] == "42P01"
    assert failure.relation == ""


def test_in_place_there_is_nothing_to_say(foreign_server: ForeignServer, play: Play) -> None:
    text = NEEDS.format(name="customers", setup="SELECT 1;")
    with foreign_server.connect() as conn:
        conn.execute("CREATE DATABASE customers_shop")
        dsn = make_conninfo(foreign_server.dsn, dbname="customers_shop")
        try:
            with open_server(ServerSettings(dsn=dsn, in_place=True)) as server:
                here = Play(server, play.folder)
                assert not any("--chaos-in-place" in line for line in only(here(text)).details)
                with server.connect() as own:
                    own.execute("CREATE TABLE customers ()")
                assert held(here(text)) == ["checked"]
        finally:
            conn.execute("DROP DATABASE customers_shop WITH (FORCE)")


def test_the_name_is_read_where_the_server_points_to() -> None:
    statement, message = 'SELECT FROM app . "The t", :t, pg_x', 'relation "{}" does not exist'
    assert relation_at(statement, statement.index("app") + 1, message.format("app.The t")) == '"The t"'
    assert relation_at(statement, statement.index(":t") + 1, message.format("t")) == ""
    assert relation_at(statement, statement.index("pg_x") + 1, message.format("pg_x")) == ""
    assert relation_at(statement, 0, message.format("t")) == ""
