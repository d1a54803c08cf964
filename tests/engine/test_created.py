"""On a server that others use, only what the run is proven to have created is removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.created import creations
from pgchaos.engine.specs import SpecSettings, run_spec
from pgchaos.isolation.grammar import read as read_spec
from pgchaos.server import Server, ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import CHECKED, Play, held, only

ROUNDS = int(os.environ.get("PGCHAOS_TEST_OTHERS", "1"))
"""How often others' things are tried on."""
STATEMENTS = {
    "role": ("CREATE ROLE inventory", "DROP ROLE inventory"),
    "database": ("CREATE DATABASE inventory", "DROP DATABASE inventory"),
    "tablespace": ("CREATE TABLESPACE inventory LOCATION ''", "DROP TABLESPACE inventory"),
    "slot": (
        "SELECT pg_create_physical_replication_slot('inventory')",
        "SELECT pg_drop_replication_slot('inventory')",
    ),
}
THERE = {
    "role": "SELECT FROM pg_roles WHERE rolname = 'inventory'",
    "database": "SELECT FROM pg_database WHERE datname = 'inventory'",
    "tablespace": "SELECT FROM pg_tablespace WHERE spcname = 'inventory'",
    "slot": "SELECT FROM pg_replication_slots WHERE slot_name = 'inventory'",
}


@pytest.fixture
def play(theirs: Server, tmp_path: Path, foreign_server: ForeignServer) -> Iterator[Play]:
    """Play a scenario's text there; what is left of the names goes with the test."""
    with foreign_server.connect() as conn:
        conn.execute("SET allow_in_place_tablespaces = on")
        yield Play(theirs, tmp_path)
        for kind in STATEMENTS:
            if there(foreign_server, kind):
                conn.execute(STATEMENTS[kind][1].encode())


def there(server: ForeignServer, kind: str = "role") -> bool:
    with server.connect() as conn:
        return conn.execute(THERE[kind].encode()).fetchone() is not None


def by_somebody(server: Server, *statements: str) -> str:
    """Write statements that have another client do something, over dblink and outside the run's sessions."""
    dsn = server.conninfo("postgres").replace("'", "''")
    calls = "".join(f"PERFORM dblink_exec('{dsn}', $s$ {one} $s$);" for one in statements)
    return f"DO $$ BEGIN {calls} END $$;"


def somebody_did(kind: str) -> str:
    made = STATEMENTS[kind][0]
    if kind == "tablespace":
        return f"SET allow_in_place_tablespaces = on; {made}"
    return "DO $d$ BEGIN PERFORM pg_create_physical_replication_slot('inventory'); END $d$" if kind == "slot" else made


def scenario(session: str) -> str:
    return f"""
        -- chaos:requires extension dblink
        -- chaos:setup
        SELECT 'inventory' AS "the name stands here";
        -- chaos:session s
        {session}
        {CHECKED}
    """


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("kind", ["role", "database", "slot"])
def test_what_somebody_else_created_meanwhile_is_reported_and_left(
    play: Play, foreign_server: ForeignServer, kind: str, number: int
) -> None:
    failure = only(play(scenario(by_somebody(play.server, somebody_did(kind)))))
    assert failure.kind == "leak"
    assert f"{kind} inventory; it was left, for nothing proves that this run created it; to remove it: " in failure.text
    assert failure.text.split("to remove it: ")[1].replace('"', "").replace("pg_catalog.", "") == STATEMENTS[kind][1]
    assert there(foreign_server, kind), number


@pytest.mark.parametrize("kind", STATEMENTS)
def test_what_a_session_created_is_removed(play: Play, foreign_server: ForeignServer, kind: str) -> None:
    first = "SET allow_in_place_tablespaces = on;\n" if kind == "tablespace" else ""
    failure = only(play(f"-- chaos:session s\n{first}{STATEMENTS[kind][0]};\n{CHECKED}"))
    assert failure.text.endswith(f": {kind} inventory")
    assert not there(foreign_server, kind)


@pytest.mark.parametrize("section", ["setup", "check", "teardown"])
def test_what_a_section_created_is_removed(play: Play, foreign_server: ForeignServer, section: str) -> None:
    sections = {"setup": "SELECT 1;", "check": "SELECT pass();", "teardown": "SELECT 1;"}
    sections[section] = f"CREATE ROLE inventory; {sections[section]}"
    text = "".join(f"-- chaos:{name}\n{body}\n" for name, body in sections.items() if name != "check")
    play(text.replace("-- chaos:teardown", f"-- chaos:check\n{sections['check']}\n-- chaos:teardown"))
    assert not there(foreign_server)


def test_what_a_plain_file_created_is_removed(play: Play, foreign_server: ForeignServer) -> None:
    play("SELECT plan(1); CREATE ROLE inventory; SELECT pass(); SELECT * FROM finish();")
    assert not there(foreign_server)


@pytest.mark.parametrize(
    "session",
    [
        "BEGIN; CREATE ROLE inventory; ROLLBACK;",
        "BEGIN; SAVEPOINT a; CREATE ROLE inventory; ROLLBACK TO a; COMMIT;",
        "CREATE ROLE inventory; DROP ROLE inventory;",
        "CREATE ROLE inventory; ALTER ROLE inventory RENAME TO stock; DROP ROLE stock;",
    ],
    ids=["rolled back", "to a savepoint", "dropped", "renamed and dropped"],
)
def test_role_of_the_same_name_that_came_later_is_left(play: Play, foreign_server: ForeignServer, session: str) -> None:
    later = by_somebody(play.server, "CREATE ROLE inventory")
    failure = only(play(scenario(f"{session}\n{later}")))
    assert "nothing proves that this run created it" in failure.text
    assert there(foreign_server)


def test_slot_of_the_same_name_that_came_later_is_left(play: Play, foreign_server: ForeignServer) -> None:
    session = "".join(f"{one};\n" for one in STATEMENTS["slot"]) + by_somebody(play.server, somebody_did("slot"))
    failure = only(play(scenario(session)))
    assert "nothing proves that this run created it" in failure.text
    assert there(foreign_server, "slot")


@pytest.mark.parametrize(
    "batch",
    [
        "BEGIN; CREATE ROLE inventory; ROLLBACK",
        "BEGIN; SAVEPOINT a; CREATE ROLE inventory; ROLLBACK TO a; COMMIT",
        "BEGIN; CREATE ROLE inventory; DROP ROLE inventory; COMMIT",
        "BEGIN; CREATE ROLE inventory; ALTER ROLE inventory RENAME TO inventory2; DROP ROLE inventory2; COMMIT",
    ],
    ids=["rolled back", "to a savepoint", "dropped", "renamed and dropped"],
)
def test_role_of_the_same_name_that_came_in_the_same_message_is_left(
    play: Play, foreign_server: ForeignServer, batch: str
) -> None:
    dsn = play.server.conninfo("postgres").replace("'", "''")
    later = f"SELECT dblink_exec('{dsn}', 'CREATE ROLE inventory');"
    together = batch.replace(";", "\\;")
    failure = only(play(scenario(f"{together}\\; {later}")))
    assert "nothing proves that this run created it" in failure.text
    assert there(foreign_server)


@pytest.mark.parametrize(
    "dropping",
    [
        "DO $x$ BEGIN EXECUTE 'SELECT pg_drop_' || 'replication_slot(''inventory'')'; END $x$;",
        "SELECT drops();",
        "-- chaos:expect invalid_text_representation\nSELECT pg_drop_replication_slot('inventory')::text::int;",
    ],
    ids=["put together", "in a function", "in a statement that fails"],
)
def test_slot_that_came_after_one_that_was_dropped_unseen_is_left(
    play: Play, foreign_server: ForeignServer, dropping: str
) -> None:
    function = (
        "CREATE FUNCTION drops() RETURNS void LANGUAGE sql AS $x$ SELECT pg_drop_replication_slot('inventory') $x$;"
    )
    session = f"{function}\n{STATEMENTS['slot'][0]};\n{dropping}\n" + by_somebody(play.server, somebody_did("slot"))
    if "drops()" not in dropping:
        session = session.removeprefix(function)
    failure = only(play(scenario(session)))
    assert "nothing proves that this run created it" in failure.text
    assert there(foreign_server, "slot")


def test_what_was_renamed_is_removed_under_its_new_name(play: Play, foreign_server: ForeignServer) -> None:
    failure = only(play(f"-- chaos:session s\nCREATE ROLE before; ALTER ROLE before RENAME TO inventory;\n{CHECKED}"))
    assert failure.text == "left behind: role: role inventory"
    assert not there(foreign_server)


def test_what_is_left_is_reported_where_the_leak_is_meant_too(play: Play, foreign_server: ForeignServer) -> None:
    text = scenario(by_somebody(play.server, "CREATE ROLE inventory"))
    result = play(f"-- chaos:leaves role it is meant\n{text}")
    assert held(result) == ["checked"]
    assert any("role inventory; it was left" in note for note in result.notes)
    assert there(foreign_server)


def test_what_cannot_be_removed_is_reported_with_the_reason(play: Play, foreign_server: ForeignServer) -> None:
    with foreign_server.connect() as conn:
        conn.execute("CREATE TABLE kept ()")
        owns = by_somebody(play.server, "ALTER TABLE kept OWNER TO inventory")
        failure = only(play(scenario(f"CREATE ROLE inventory;\n{owns}")))
        assert 'could not be removed: role "inventory" cannot be dropped' in failure.text
        assert failure.text.endswith('to remove it: DROP ROLE "inventory"')
        conn.execute("DROP TABLE kept")


@pytest.fixture
def in_place(foreign_server: ForeignServer, tmp_path: Path) -> Iterator[Play]:
    """Play a scenario's text in a database of the user's."""
    with foreign_server.connect() as conn:
        conn.execute("CREATE DATABASE shop")
        with (
            foreign_server.connect(dbname="shop") as shop,
            open_server(ServerSettings(dsn=make_conninfo(foreign_server.dsn, dbname="shop"), in_place=True)) as server,
        ):
            shop.execute("CREATE TABLE orders (id int)")
            shop.execute("BEGIN; INSERT INTO orders VALUES (1); PREPARE TRANSACTION 'of the user'")
            yield Play(server, tmp_path)
            shop.execute("ROLLBACK PREPARED 'of the user'")
        conn.execute("DROP DATABASE shop")
        conn.execute("DROP ROLE IF EXISTS inventory")


def prepared(server: ForeignServer) -> set[object]:
    with server.connect() as conn:
        return {gid for (gid,) in conn.execute("SELECT gid FROM pg_prepared_xacts")}


def test_in_place_only_the_run_s_prepared_transactions_are_rolled_back(
    in_place: Play, foreign_server: ForeignServer
) -> None:
    failure = only(in_place(f"-- chaos:session s\nBEGIN; SELECT 1; PREPARE TRANSACTION 'inventory';\n{CHECKED}"))
    assert failure.text == "left behind: prepared transaction: inventory"
    assert prepared(foreign_server) == {"of the user"}


def test_in_place_a_role_is_dropped_without_objects_of_the_user(in_place: Play, foreign_server: ForeignServer) -> None:
    text = f"-- chaos:session s\nCREATE ROLE inventory; CREATE TABLE t (); GRANT SELECT ON t TO inventory;\n{CHECKED}"
    assert only(in_place(text)).text == "left behind: role: role inventory"
    assert not there(foreign_server)
    owner = f"-- chaos:session s\nCREATE ROLE inventory; ALTER TABLE other OWNER TO inventory;\n{CHECKED}"
    with foreign_server.connect(dbname="shop") as shop:
        shop.execute("CREATE TABLE other ()")
        failure = only(in_place(owner))
        assert "role inventory; it was left, for table other depends on it; to remove it: DROP ROLE" in failure.text
        shop.execute("TABLE other; ALTER TABLE other OWNER TO postgres")


SPEC = """
session "a"
step "s" { SELECT 1 AS one; }
step "make" { %s }
permutation "s" "make"
"""


@pytest.mark.parametrize("made", [True, False], ids=["by the spec", "by somebody else"])
def test_spec_removes_only_roles_that_it_created(
    theirs: Server, foreign_server: ForeignServer, tmp_path: Path, made: bool
) -> None:
    step = "CREATE ROLE inventory;"
    if not made:
        # a name that stands in the spec, and a role that somebody else makes
        step = f"CREATE EXTENSION dblink; /* CREATE ROLE inventory */ {by_somebody(theirs, 'CREATE ROLE inventory')}"
    path = tmp_path / "role.spec"
    path.write_text(SPEC % step, encoding="utf-8")
    result = run_spec(read_spec(path), theirs, SpecSettings())
    assert not result.problems
    with foreign_server.connect() as conn:
        assert there(foreign_server) is not made
        conn.execute("DROP ROLE IF EXISTS inventory")
    reported = [note for note in result.notes if "role inventory; it was left" in note]
    assert bool(reported) is not made


READ = {
    "CREATE ROLE a": ("CREATE ROLE", ("role", "a")),
    "create /* x */ user A_b LOGIN": ("CREATE ROLE", ("role", "a_b")),
    'CREATE GROUP "A ""b"""': ("CREATE ROLE", ("role", 'A "b"')),
    "CREATE DATABASE a": ("CREATE DATABASE", ("database", "a")),
    "CREATE DATABASE b ": ("CREATE ROLE", None),
    "CREATE ROLE É": ("CREATE ROLE", None),
    'CREATE ROLE U&"d\\0061ta"': ("CREATE ROLE", None),
    "CREATE USER MAPPING FOR a SERVER b": ("CREATE USER MAPPING", None),
    "DO $$ BEGIN CREATE ROLE a; END $$": ("DO", None),
    "SELECT 'CREATE ROLE a'": ("SELECT 1", None),
    "PREPARE TRANSACTION 'it''s'": ("PREPARE TRANSACTION", ("prepared transaction", "it's")),
    "PREPARE TRANSACTION E'a\\'b'": ("PREPARE TRANSACTION", None),
    "SELECT pg_create_physical_replication_slot('a')": ("SELECT 1", ("slot", "a")),
    "SELECT pg_catalog.pg_create_physical_replication_slot('a', true, false) AS x": ("SELECT 1", ("slot", "a")),
    "SELECT 'init' FROM pg_create_logical_replication_slot('a', 'test_decoding')": ("SELECT 1", ("slot", "a")),
    "SELECT slot_name, lsn FROM pg_copy_physical_replication_slot('a', 'b')": ("SELECT 1", ("slot", "b")),
    "SELECT pg_create_physical_replication_slot('a', false, true)": ("SELECT 1", None),
    "SELECT pg_create_physical_replication_slot('a') WHERE true": ("SELECT 1", None),
    "SELECT pg_create_physical_replication_slot('a') FROM t": ("SELECT 1", None),
    "SELECT CASE WHEN false THEN pg_create_physical_replication_slot('a') END": ("SELECT 1", None),
    "SELECT 1 FROM pg_create_physical_replication_slot('a') LIMIT 0": ("SELECT 1", None),
    "SELECT pg_create_physical_replication_slot('a' || x) FROM t": ("SELECT 1", None),
    "SELECT 'a' AS pg_create_physical_replication_slot": ("SELECT 1", None),
    "SELECT pg_create_physical_replication_slot('a') ": ("SELECT 0", None),
}


@pytest.mark.parametrize(("query", "said"), READ.items(), ids=READ.keys())
def test_a_statement_and_its_tag_say_what_was_created(query: str, said: tuple[str, tuple[str, str] | None]) -> None:
    tag, thing = said
    assert creations(query, [tag]) == ([] if thing is None else [thing])


def test_each_of_several_statements_is_matched_with_its_own_tag() -> None:
    query = "CREATE ROLE a; GRANT x TO a; CREATE ROLE b"
    assert creations(query, ["CREATE ROLE", "GRANT ROLE", "CREATE ROLE"]) == [("role", "a"), ("role", "b")]
    assert creations(query, ["CREATE ROLE", "CREATE ROLE"]) == [], "which is whose is not known"
