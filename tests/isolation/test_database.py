"""The database of a spec: what it is called, what is loaded into it, and who else is seen on the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from pgchaos.engine.specs import SpecResult, SpecSettings, run_spec
from pgchaos.isolation.grammar import read
from pgchaos.server import Server, ServerSettings, open_server
from pgchaos.server.settings import ServerError
from tests.conftest import ForeignServer
from tests.isolation.conftest import Play

NAMED = """
setup { CREATE TABLE named (a int); }
teardown { DROP TABLE named; }
session s
step value { SELECT current_database(), 1 AS one; }
step catalog { SELECT table_name, table_catalog FROM information_schema.tables WHERE table_name = 'named'; }
step refused { SET ROLE pg_monitor; CREATE SCHEMA refused; }
step note { RESET ROLE; DO $$ BEGIN RAISE NOTICE 'database %', current_database(); END $$; }
permutation value catalog refused note
"""
PRINTED = """\
step value: SELECT current_database(), 1 AS one;
current_database    |one
--------------------+---
isolation_regression|  1
(1 row)

step catalog: SELECT table_name, table_catalog FROM information_schema.tables WHERE table_name = 'named';
table_name|table_catalog{pad}
----------+--------------------
named     |isolation_regression
(1 row)

step refused: SET ROLE pg_monitor; CREATE SCHEMA refused;
ERROR:  permission denied for database isolation_regression
s: NOTICE:  database isolation_regression
step note: RESET ROLE; DO $$ BEGIN RAISE NOTICE 'database %', current_database(); END $$;
""".replace("{pad}", " " * 7)
LOADED = "session s step a { SELECT similarity('abc', 'abc') AS same; }\npermutation a"
WHO = """
session s
step who { SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'isolation%' ORDER BY 1; }
session t
step there { SELECT; }
permutation who there
"""


@pytest.fixture
def in_place(foreign_server: ForeignServer) -> Iterator[Server]:
    """A database of the user's on it, called as a table of the spec is."""
    with foreign_server.connect() as conn:
        conn.execute("CREATE DATABASE named")
        try:
            with open_server(ServerSettings(dsn=f"{foreign_server.dsn} dbname=named", in_place=True)) as server:
                yield server
        finally:
            conn.execute("DROP DATABASE named WITH (FORCE)")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[Server, str, SpecSettings], SpecResult]:
    def run(server: Server, text: str, settings: SpecSettings) -> SpecResult:
        path = tmp_path / "y.spec"
        path.write_text(text, encoding="utf-8")
        return run_spec(read(path), server, settings)

    return run


Elsewhere = Callable[[Server, str, SpecSettings], SpecResult]


def _body(result: SpecResult) -> str:
    assert result.problems == []
    return result.output.split("\nstarting permutation: ", 1)[1].split("\n", 1)[1]


def test_the_database_is_called_as_that_of_pg_isolation_regress(play: Play) -> None:
    assert _body(play(NAMED)) == PRINTED


def test_it_is_really_called_so_where_the_server_is_ours(play: Play) -> None:
    text = (
        "session s step a { SELECT length(current_database()) AS n, 'isolation' || '_regression' = current_database()"
    )
    output = play(text + " AS same; }\npermutation a").output
    assert "\n n|same\n--+----\n20|t   \n(1 row)\n" in output


def test_a_spec_may_leave_anything_in_the_database_that_is_called_so(play: Play) -> None:
    text = (
        "session s step a { SELECT current_database(); CREATE TABLE here ();"
        " BEGIN; CREATE TABLE prepared (); PREPARE TRANSACTION 'named'; }\npermutation a"
    )
    for _ in range(2):
        result = play(text)
        assert result.problems == []
        assert "ERROR" not in result.output


def test_its_name_is_replaced_in_what_is_printed_elsewhere(theirs: Server, elsewhere: Elsewhere) -> None:
    assert _body(elsewhere(theirs, NAMED, SpecSettings())) == PRINTED


def test_a_name_that_the_user_chose_is_replaced_only_where_it_is_the_databases(
    in_place: Server, elsewhere: Elsewhere
) -> None:
    printed = PRINTED.replace("named     |isolation_regression", "NAMED     |isolation_regression")
    text = NAMED.replace("table_name, table_catalog FROM", "upper(table_name) AS table_name, table_catalog FROM")
    printed = printed.replace("table_name, table_catalog FROM", "upper(table_name) AS table_name, table_catalog FROM")
    assert _body(elsewhere(in_place, text, SpecSettings())) == printed
    plain = "session s step a { SELECT 'named' AS named; DO $$ BEGIN RAISE NOTICE 'named'; END $$; }\npermutation a"
    assert "\nnamed\n-----\nnamed\n(1 row)\n" in _body(elsewhere(in_place, plain, SpecSettings()))


def test_extensions_are_there_before_a_spec_runs(play: Play, theirs: Server, elsewhere: Elsewhere) -> None:
    settings = SpecSettings(load_extensions=("pg_trgm",))
    assert "\n   1\n" in _body(play(LOADED, settings))
    assert "\n   1\n" in _body(elsewhere(theirs, LOADED, settings))
    # others find none of them
    assert "ERROR:  function similarity(unknown, unknown) does not exist" in _body(play(LOADED))
    assert "ERROR:  function similarity(unknown, unknown) does not exist" in _body(
        elsewhere(theirs, LOADED, SpecSettings())
    )


def test_extensions_are_created_in_the_order_in_which_they_are_named(play: Play) -> None:
    settings = SpecSettings(load_extensions=("tablefunc", "citext"))
    text = (
        "session s step a { SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY oid; }\npermutation a"
    )
    assert "\nextname  \n---------\ntablefunc\ncitext   \n(2 rows)\n" in play(text, settings).output


def test_extensions_go_again_in_place(in_place: Server, elsewhere: Elsewhere) -> None:
    assert "\n   1\n" in _body(elsewhere(in_place, LOADED, SpecSettings(load_extensions=("pg_trgm",))))
    with in_place.connect() as conn:
        assert conn.execute("SELECT FROM pg_extension WHERE extname = 'pg_trgm'").fetchall() == []


def test_an_extension_that_is_missing_is_named(play: Play) -> None:
    with pytest.raises(ServerError, match=r"extension not_there cannot be created: .*not_there"):
        play(LOADED, SpecSettings(load_extensions=("not_there",)))


def test_sessions_that_wait_for_another_spec_are_not_seen(play: Play, theirs: Server, elsewhere: Elsewhere) -> None:
    others = "session kept step a { SELECT 1; } session kept2 step b { SELECT 1; }\npermutation a b"
    seen = (
        "isolation/{0}/control connection\nisolation/{0}/s                 \nisolation/{0}/t                 \n(3 rows)"
    )
    play(others)
    assert seen.format("x") in play(WHO, SpecSettings(alone=True)).output
    # those of another run on the same server, too, of which this one knows nothing
    elsewhere(theirs, others, SpecSettings())
    with open_server(ServerSettings(dsn=theirs.conninfo())) as server:
        assert seen.format("y") in elsewhere(server, WHO, SpecSettings(alone=True)).output


def test_a_connection_of_another_spec_sees_the_stop_of_this_one(theirs: Server, elsewhere: Elsewhere) -> None:
    """What is created on a server that is not ours is looked up on the connection that creates it, and waited for."""
    elsewhere(theirs, "session s step a { SELECT 1; }\npermutation a", SpecSettings())
    text = """
        setup { CREATE ROLE pgchaos_of_a_spec; }
        teardown { DROP ROLE pgchaos_of_a_spec; }
        session s step a { SELECT 1; }
        permutation a
    """
    assert not elsewhere(theirs, text, SpecSettings()).problems


def test_a_connection_from_inside_reaches_the_server_that_is_ours(play: Play) -> None:
    # as in a server that pg_regress starts
    text = (
        "session s step a { SELECT dblink_connect('dbname=' || current_database()); }"
        " step b { SELECT * FROM dblink('SELECT current_user::text') AS t (who text); }\npermutation a b"
    )
    output = _body(play(text, SpecSettings(load_extensions=("dblink",))))
    assert "\nwho     \n--------\npostgres\n(1 row)\n" in output


def test_a_backend_that_is_gone_soon_is_waited_for(private_server: Server, play: Play) -> None:
    # closed without a word, as every session that serves no other spec is
    with private_server.spec_database() as spec_database:
        for number in range(20):
            name = sql.Literal(f"isolation/gone/{number}").as_string(None)
            private_server.connect(spec_database.sandbox.database).execute(
                f"SET application_name = {name}".encode()
            ).connection.close()
        assert "isolation/gone" not in play(WHO, SpecSettings(alone=True)).output
