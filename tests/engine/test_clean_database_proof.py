"""Plain pgTAP files in one database: a file never sees what an earlier one did, whatever is reused."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgchaos.results import RunResult
from pgchaos.server import Server, ServerSettings, open_server
from tests.engine.playing import Play, held, only
from tests.waiting import until

WHERE = "SELECT pass('at ' || current_database() || ' ' || pg_backend_pid());"


CONNECT = """
    CREATE EXTENSION dblink;
    SELECT dblink_connect('host=' || split_part(current_setting('unix_socket_directories'), ',', 1) || ' port='
        || current_setting('port') || ' user=' || current_user || ' dbname=' || {database});
"""


@dataclass(frozen=True, slots=True)
class At:
    """Where a file ran."""

    database: str
    pid: int


def at(result: RunResult) -> At:
    found = [m for a in result.assertions if (m := re.fullmatch(r"at (\S+) (\d+)", a.name))]
    assert found, result.failures
    return At(found[-1][1], int(found[-1][2]))


def block(text: str = "", plan: int = 1, end: str = "ROLLBACK") -> str:
    """A file of pgTAP's usual shape."""
    return f"BEGIN;\nSELECT plan({plan});\n{text}\n{WHERE}\nSELECT * FROM finish();\n{end};\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that nobody else uses, autovacuum neither: while others commit, nothing is proven."""
    with open_server(ServerSettings(), {}) as server:
        with server.connect() as conn:
            conn.execute("ALTER SYSTEM SET autovacuum = off")
            conn.execute("SELECT pg_reload_conf()")
            query = "SELECT FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum%'"
            until(lambda: conn.execute(query).fetchone() is None, "autovacuum has ended")
        yield server


def settled(server: Server) -> None:
    """Wait until all databases are dropped that will not be used any more."""
    with server.connect() as conn:
        query = "SELECT count(*) <= 7 FROM pg_database WHERE datname LIKE 'pgchaos%'"
        until(
            lambda: conn.execute(query).fetchone() == (True,),
            "two templates, the one in use, and two ahead of use of each",
        )


def test_a_file_that_changes_nothing_hands_database_and_connection_on(play: Play) -> None:
    first = at(play(block()))
    assert at(play(block())) == first
    assert at(play(block("CREATE TABLE t (); INSERT INTO pg_catalog.pg_description VALUES (1, 1, 0, 'x');"))) == first
    assert held(play(block("SELECT hasnt_table('t');", 2)))[0] == "Table t should not exist"
    assert at(play(block())) == first


def rows(server: Server, database: str) -> dict[str, set[tuple[object, ...]]]:
    """Everything in the tables of a database; of pg_class not what is noted there without a transaction."""
    with server.connect(database) as conn:
        tables = conn.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind = 'r' AND NOT relisshared AND c.oid <> 'pg_statistic'::regclass"
        ).fetchall()
        whole = {"pg_class": "(oid, relname, relnamespace, relfilenode, relacl)"}
        return {
            str(name): set(conn.execute(f"SELECT ctid, xmin::text, {whole.get(str(name), 't')}::text FROM {name} t"))
            for (name,) in tables
        }


def test_what_is_there_afterwards_is_what_was_there_before(play: Play, server: Server) -> None:
    before = at(play(block()))
    found = rows(server, before.database)
    assert len(found) > 50
    text = "CREATE TABLE t (a serial PRIMARY KEY, b text); INSERT INTO t (b) VALUES (repeat('x', 9999));"
    text += "COMMENT ON TABLE t IS 'x'; DELETE FROM pg_description;"
    text += "SELECT throws_ok('SELECT 1/0'); SELECT lives_ok('CREATE SCHEMA s'); SELECT lo_from_bytea(0, 'x');"
    assert at(play(block(text, 3))) == before
    assert rows(server, before.database) == found
    assert at(play(block())) == before


CHANGES = {
    "a table": block("CREATE TABLE seen ();", end="COMMIT"),
    "a table, its temporary tables dropped": block("CREATE TABLE seen ();", end="COMMIT") + "DISCARD TEMP;",
    "rows": block("INSERT INTO pg_description VALUES (1, 1, 0, 'seen');", end="COMMIT"),
    "a statement outside of a block": "CREATE TABLE seen ();\n" + block(),
    "temporary tables outside of a block": f"SELECT plan(1);\n{WHERE}\nSELECT * FROM finish();",
    "a setting of the database": "ALTER DATABASE :DBNAME SET work_mem = '77MB';",
    "a procedure that commits": block() + "DO $$BEGIN CREATE TABLE seen (); COMMIT; END$$;",
    "a savepoint that stays": block("SAVEPOINT a; CREATE TABLE seen (); RELEASE a;", end="COMMIT"),
    "a large object": block() + "SELECT lo_from_bytea(4711, 'seen');",
    "a sequence": block() + "CREATE SEQUENCE seen; SELECT nextval('seen');",
    "a comment": block() + "COMMENT ON FUNCTION plan(integer) IS 'seen';",
    "an extension": block() + "CREATE EXTENSION pg_trgm;",
    "a notification": block("NOTIFY seen;", end="COMMIT"),
    "statistics, in a variable": "\\set what ANALYZE\n" + block(":what pg_class;"),
    "a vacuum, in a variable": "\\set what VACUUM\n:what pg_class;\n" + block(),
    "the catalog": block() + "UPDATE pg_proc SET prosrc = prosrc || ' ' WHERE oid = 'plan(integer)'::regprocedure;",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_something_hands_nothing_on(play: Play, change: str) -> None:
    text = CHANGES[change]
    before = at(play(block()))
    if ":DBNAME" in text:
        text = block() + text.replace(":DBNAME", before.database)
    assert at(play(text)) == before
    after = at(play(block()))
    assert after.database != before.database
    assert after.pid != before.pid


def test_another_session_s_commit_is_seen(play: Play) -> None:
    before = at(play(block()))
    text = """
        SELECT dblink_exec('CREATE TABLE seen ()'), dblink_disconnect();
    """
    assert at(play(block(CONNECT.format(database="current_database()") + text))) == before
    assert at(play(block())).database != before.database


def test_another_session_that_stays_is_seen(play: Play) -> None:
    before = at(play(block()))
    text = """
        SELECT dblink_exec('BEGIN'), dblink_exec('CREATE TABLE seen ()');
    """
    assert at(play(block(CONNECT.format(database="current_database()") + text))) == before
    assert at(play(block())).database != before.database


def test_an_open_transaction_of_another_backend_is_found(play: Play, server: Server) -> None:
    before = at(play(block()))
    stranger = psycopg.connect(server.conninfo(before.database))
    with contextlib.closing(stranger):
        stranger.execute("CREATE TABLE seen ()")
        result = play(block())
        assert at(result) == before
        assert only(result).kind == "leak"
        assert at(play(block())).database != before.database


def test_a_commit_elsewhere_between_two_visits_is_of_no_account(play: Play, server: Server) -> None:
    before = at(play(block()))
    settled(server)
    with server.connect() as conn:
        conn.execute("CREATE TABLE elsewhere ()")
        assert at(play(block())) == before
        conn.execute("DROP TABLE elsewhere")


def test_a_commit_elsewhere_meanwhile_is_no_proof(play: Play, server: Server) -> None:
    before = at(play(block()))
    database = str(conninfo_to_dict(server.conninfo())["dbname"])
    text = CONNECT.format(database=f"'{database}'") + "SELECT dblink_exec('CREATE TABLE e (); DROP TABLE e');"
    assert at(play(block(text + "SELECT dblink_disconnect();"))) == before
    assert at(play(block())).database != before.database


def test_a_prepared_transaction_is_found_and_rolled_back(play: Play) -> None:
    before = at(play(block()))
    result = play(block() + "BEGIN; CREATE TABLE seen (); PREPARE TRANSACTION 'seen';")
    assert only(result).names == ("prepared transaction",)
    assert at(play(block())).database != before.database


def test_a_slot_that_nobody_commits_is_found_and_removed(play: Play, server: Server) -> None:
    before = at(play(block()))
    result = play(block("SELECT pg_create_physical_replication_slot('pgchaos_seen');"))
    assert at(result) == before
    assert only(result).names == ("slot",)
    with server.connect() as conn:
        assert conn.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (0,)
    assert at(play(block())).database != before.database


def test_a_role_is_found_and_removed(play: Play, server: Server) -> None:
    before = at(play(block()))
    result = play("CREATE ROLE pgchaos_seen;\n" + block())
    assert only(result).names == ("role",)
    with server.connect() as conn:
        assert conn.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'pgchaos_seen'").fetchone() == (0,)
    assert at(play(block())).database != before.database


def test_a_file_that_fails_in_the_middle_hands_nothing_on(play: Play) -> None:
    before = at(play(block()))
    result = play(block("CREATE TABLE seen ();") + "SELECT 1/0;")
    assert "22012" in only(result).names
    assert at(play(block())).database != before.database
    before = at(play(block()))
    assert "22012" in only(play("BEGIN;\nSELECT plan(1);\nCREATE TABLE seen ();\nSELECT 1/0;\n")).names
    assert at(play(block("SELECT hasnt_table('seen');", 2))).database != before.database


def test_an_assertion_that_fails_is_handed_on_from(play: Play) -> None:
    before = at(play(block()))
    assert only(play(block("SELECT fail('oh');", 2))).kind == "assertion"
    assert at(play(block())) == before


def test_a_file_that_loses_its_connection_hands_nothing_on(play: Play) -> None:
    before = at(play(block()))
    assert only(play(block("SELECT pg_terminate_backend(pg_backend_pid());"))).kind == "error"
    assert at(play(block())).database != before.database


def test_a_file_that_takes_too_long_hands_nothing_on(play: Play) -> None:
    before = at(play(block()))
    assert [f.kind for f in play(block("SELECT pg_sleep(60);"), timeout=0.2).failures] == ["timeout"]
    assert at(play(block())).database != before.database


def test_an_open_transaction_at_the_end_is_rolled_back(play: Play) -> None:
    before = at(play(block()))
    assert at(play(f"BEGIN; CREATE TABLE seen ();\nSELECT plan(2);\nSELECT has_table('seen');\n{WHERE}\n")) == before
    assert at(play(block("SELECT hasnt_table('seen');", 2))) == before


SESSION = {
    "a setting": ("SET work_mem = '77MB';", "SELECT isnt(current_setting('work_mem'), '77MB');"),
    "a path": (
        "SET search_path = pg_catalog, public;",
        "SELECT is(current_setting('search_path'), '\"$user\", public');",
    ),
    "a role": ("SET ROLE pg_monitor; SELECT 1;", "SELECT is(current_user, session_user);"),
    "an authorization": (
        "SET SESSION AUTHORIZATION pg_monitor; SELECT 1;",
        "SELECT isnt(session_user, 'pg_monitor');",
    ),
    "a prepared statement": (
        "PREPARE seen AS SELECT 1;",
        "SELECT is(count(*), 0::bigint) FROM pg_prepared_statements;",
    ),
    "a lock": (
        "SELECT pg_advisory_lock(4711);",
        "SELECT is(count(*), 0::bigint) FROM pg_locks WHERE locktype = 'advisory';",
    ),
    "a channel": ("LISTEN seen;", "SELECT is(count(*), 0::bigint) FROM pg_listening_channels();"),
    "an isolation level": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
        "SELECT is(current_setting('transaction_isolation'), 'read committed');",
    ),
    "a cursor": (
        "BEGIN; DECLARE seen CURSOR WITH HOLD FOR SELECT 1; COMMIT;",
        "SELECT is(count(*), 0::bigint) FROM pg_cursors WHERE name = 'seen';",
    ),
}


@pytest.mark.parametrize("what", SESSION)
def test_a_connection_is_handed_on_as_if_it_were_new(play: Play, what: str) -> None:
    does, sees = SESSION[what]
    before = at(play(block()))
    # after the block: a rollback would take a setting back
    assert at(play(f"{block()}{does}\n")) == before
    after = play(block(sees, 2))
    assert held(after)
    assert at(after) == before


LASTS = {
    "a setting of one's own": "SET my.thing = 'seen';",
    "one by a function": "SELECT set_config('my.thing', 'seen', true);",
    "one that is put together": "DO $$BEGIN EXECUTE format('SET LOCAL %I.thing = 1', 'my'); END$$;",
    "another that is put together": "DO $$BEGIN EXECUTE 'SET ' || 'my.thing = 1'; END$$;",
    "one in a variable": r"\set name my.thing" + "\nSET :name = 1;",
    "one by gexec": "SELECT 'SET ' || 'my.thing = 1' \\gexec",
    "a seed": "SELECT setseed(0.5);",
    "a library": "LOAD 'auto_explain';",
    "another language": "CREATE FUNCTION f() RETURNS int LANGUAGE \"internal\" AS 'pg_backend_pid'; SELECT f();",
    "a library of an extension": "CREATE EXTENSION pg_trgm; SELECT similarity('a', 'b');",
}


@pytest.mark.parametrize("what", LASTS)
def test_a_connection_with_something_that_lasts_is_not_handed_on(play: Play, what: str) -> None:
    before = at(play(block()))
    assert at(play(block(LASTS[what]))) == before
    sees = "SELECT is(current_setting('my.thing', true), NULL);"
    sees += "SELECT is(current_setting('pg_trgm.similarity_threshold', true), NULL);"
    sees += "SELECT is(current_setting('auto_explain.log_analyze', true), NULL);"
    after = play(block(sees, 4))
    assert held(after)
    assert at(after).database == before.database
    assert at(after).pid != before.pid


def test_a_connection_that_somebody_ended_meanwhile_is_passed_over(play: Play, server: Server) -> None:
    before = at(play(block()))
    with server.connect() as conn:
        conn.execute("SELECT pg_terminate_backend(%s, 60000)", [before.pid])
    after = at(play(block()))
    assert after.database == before.database
    assert after.pid != before.pid


def test_kept_connections_are_spared_where_room_is_needed(play: Play, server: Server) -> None:
    before = at(play(block()))
    server.close_unused()
    after = at(play(block()))
    assert after.database == before.database
    assert after.pid != before.pid


def test_a_scenario_gets_no_database_that_was_used(play: Play) -> None:
    before = at(play(block()))
    result = play(f"-- chaos:check\n{WHERE}\n")
    assert at(result).database != before.database
    assert at(play(block())) == before


@pytest.mark.parametrize(
    "text",
    [
        "SELECT is(xact_rollback, 0::bigint) FROM pg_stat_database WHERE datname = current_database();",
        "ANALYZE pg_class; SELECT pass('analyzed');",
    ],
)
def test_a_file_about_statistics_gets_a_new_database_that_nobody_gets_after_it(play: Play, text: str) -> None:
    before = at(play(block()))
    result = play(block(text, 2))
    assert held(result)
    assert at(result).database != before.database
    assert at(play(block())) == before
