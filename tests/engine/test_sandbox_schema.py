"""Scenarios with `sandbox schema`: side by side in one database, on connections that go from one to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgchaos.results import RunResult
from pgchaos.server import Sandbox, Server, ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import CHECKED, Play, held, only
from tests.waiting import until

HEAD = "-- chaos:sandbox schema\n"
TELLS_PIDS = r"""
SELECT pg_backend_pid() AS pid \gset
\echo pid :pid
"""


def pids(result: RunResult) -> list[int]:
    """Tell the backends that TELLS_PIDS told of."""
    return sorted(int(line.rsplit(" ", 1)[1]) for line in result.output if " pid " in line)


def column(server: Server, query: str, database: str | None = None) -> list[object]:
    with server.connect(database) as conn:
        return [row[0] for row in conn.execute(query.encode())]


def shared_database(server: Server) -> str:
    """Name the database that the schemas are in."""
    with server.sandbox((), schema=True) as sandbox:
        return sandbox.database


# side by side

HOLDER = """
-- chaos:sandbox schema
-- chaos:setup
CREATE TABLE seat (who text PRIMARY KEY);
INSERT INTO seat VALUES ('holder');
-- chaos:session ready
BEGIN;
LOCK TABLE seat;
-- chaos:allow query_canceled
SELECT pg_sleep(100);
-- chaos:check
SELECT results_eq('SELECT who FROM seat', ARRAY['holder'], 'its own table');
SELECT results_eq('SELECT statement FROM chaos.history ORDER BY started_at',
    ARRAY['BEGIN', 'LOCK TABLE seat', 'SELECT pg_sleep(100)'], 'its own history');
SELECT results_eq('SELECT outcome FROM chaos.transactions', ARRAY['rolled back'], 'its own transactions');
"""
GUEST = """
-- chaos:sandbox schema
-- chaos:setup
CREATE TABLE seat (who text PRIMARY KEY);
-- chaos:invariant
SELECT count(*) < 3 FROM seat;
-- chaos:session ready x 2
INSERT INTO seat VALUES ('guest ' || :worker);
-- chaos:barrier both
SELECT 1;
-- chaos:check
SELECT results_eq('SELECT who FROM seat ORDER BY who', ARRAY['guest 1', 'guest 2'], 'its own table');
SELECT is(count(*), 4::bigint, 'its own history') FROM chaos.history;
SELECT is(count(*), 4::bigint, 'its own transactions') FROM chaos.transactions;
"""
FAILING = """
-- chaos:sandbox schema
-- chaos:setup
CREATE TABLE seat (who int);
-- chaos:session ready
INSERT INTO seat VALUES (1/0);
-- chaos:session other
SELECT pg_sleep(100);
-- chaos:check
SELECT pass('never reached');
"""


@contextmanager
def at_once(play: Play, holder: str = HOLDER) -> Iterator[Callable[[], RunResult]]:
    """Have the holder stand in the middle of its run; what is yielded lets it go on, and gives its result."""
    found: list[RunResult] = []
    folder = play.folder / "holder"
    folder.mkdir()
    thread = threading.Thread(target=lambda: found.append(Play(play.server, folder)(holder)))
    asleep = "FROM pg_stat_activity WHERE application_name = 'ready[1]' AND query = 'SELECT pg_sleep(100)'"

    def go_on() -> RunResult:
        column(play.server, f"SELECT pg_cancel_backend(pid) {asleep}")
        thread.join(120)
        return found[0]

    thread.start()
    try:
        until(lambda: column(play.server, f"SELECT pid {asleep} AND wait_event = 'PgSleep'"), "the holder sleeps")
        yield go_on
    finally:
        if thread.is_alive():
            go_on()


def test_a_scenario_that_locks_its_tables_and_one_beside_it(play_own: Play) -> None:
    with at_once(play_own) as go_on:
        assert held(play_own(GUEST)) == ["its own table", "its own history", "its own transactions"]
        result = go_on()
    assert held(result) == ["its own table", "its own history", "its own transactions"]


def test_a_scenario_that_fails_beside_others(play_own: Play) -> None:
    with at_once(play_own) as go_on:
        assert "division_by_zero" in only(play_own(FAILING)).names
        assert held(play_own(GUEST)) == ["its own table", "its own history", "its own transactions"]
        result = go_on()
    assert held(result) == ["its own table", "its own history", "its own transactions"]


def test_many_at_once(play_own: Play) -> None:
    wrong: list[object] = []

    def several(folder: Path) -> None:
        folder.mkdir()
        play = Play(play_own.server, folder)
        for number in range(4):
            result = play(FAILING if number == 1 else GUEST)
            if [failure.kind for failure in result.failures] != ["error"] * (number == 1):
                wrong.append(result.failures)

    threads = [threading.Thread(target=several, args=(play_own.folder / str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert wrong == []


def test_each_sees_what_it_recorded(own_server: Server) -> None:
    with own_server.sandbox((), schema=True) as one, own_server.sandbox((), schema=True) as two:
        assert one.database == two.database
        with connected(one) as first, connected(two) as second:
            for table, row in RECORDED.items():
                first.execute(f"INSERT INTO chaos.{table} VALUES ({row})".encode())
                count = f"SELECT count(*) FROM chaos.{table}".encode()
                assert first.execute(count).fetchone() == (1,)
                assert second.execute(count).fetchone() == (0,)

    def forgotten() -> bool:
        rows = " UNION ALL ".join(f"SELECT run FROM chaos._{table}" for table in RECORDED)
        return one.schema not in column(own_server, rows, one.database)

    until(forgotten, "what was recorded goes with the schema")


RECORDED = {
    "history": "'s', 1, 1, 1, '1', 1, 'SELECT 1', NULL, NULL, NULL, NULL, NULL, NULL, ''",
    "transactions": "'s', 1, 1, 1, true, 'committed', '00000'",
    "notifications": "'s', 1, 'channel', '', now()",
}


@contextmanager
def connected(sandbox: Sandbox, name: str = "s[1]") -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    conninfo = make_conninfo(sandbox.conninfo, application_name=name)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SELECT chaos._join()")
        yield conn


def test_a_database_for_each_set_of_extensions(own_server: Server) -> None:
    with own_server.sandbox((), schema=True) as plain, own_server.sandbox(("pg_trgm",), schema=True) as other:
        assert plain.database != other.database
        with connected(other) as conn:
            assert conn.execute("SELECT similarity('a', 'a'), current_schema()").fetchone() == (1.0, other.schema)


# the toolkit, where two runs share a database


@pytest.fixture
def neighbours(own_server: Server) -> Iterator[tuple[Sandbox, Sandbox]]:
    """Two sandboxes in one database."""
    with own_server.sandbox((), schema=True) as one, own_server.sandbox((), schema=True) as two:
        yield one, two


def test_sessions_of_the_same_name_are_told_apart(neighbours: tuple[Sandbox, Sandbox]) -> None:
    one, two = neighbours
    with connected(one, "victim[1]") as mine, connected(two, "victim[1]") as other:
        with connected(one, "operator[1]") as operator:
            assert operator.execute("SELECT chaos.terminate('victim')").fetchone() == (1,)
        assert other.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.AdminShutdown):
            mine.execute("SELECT 1")


def test_signals_and_barriers_do_not_meet_those_of_another_run(neighbours: tuple[Sandbox, Sandbox]) -> None:
    one, two = neighbours
    with connected(one) as giver, connected(one, "t[1]") as taker, connected(two) as stranger:
        giver.execute("SELECT chaos.signal('go'), chaos.barrier('one', 1)")
        taker.execute("SELECT chaos.wait_for('go', '0'), chaos.barrier('one', 2, '60s')")
        for wait in ("chaos.wait_for('go', '0')", "chaos.barrier('one', 2, '0')"):
            with pytest.raises(psycopg.Error, match=r"not given|did not open") as caught:
                stranger.execute(f"SELECT {wait}".encode())
            assert caught.value.sqlstate == "CH002"


def test_what_another_run_holds_is_no_leak(neighbours: tuple[Sandbox, Sandbox]) -> None:
    left = "SELECT leak FROM chaos._left_behind() AS leak"
    one, two = neighbours
    with connected(one) as mine, connected(one, "t[1]") as fellow, connected(two) as other:
        other.execute("CREATE TABLE t (); BEGIN; LOCK TABLE t; SELECT pg_advisory_lock(1)")
        assert mine.execute(left.encode()).fetchall() == []
        fellow.execute("BEGIN; SELECT pg_advisory_lock_shared(1, 2)")
        found = sorted(str(row[0]).split(":")[0] for row in mine.execute(left.encode()))
        assert found == ["advisory lock", "open transaction"]


GIVER = """
-- chaos:sandbox schema
-- chaos:session ready
SELECT chaos.signal('go');
SELECT chaos.barrier('both', 1);
-- chaos:allow query_canceled
SELECT pg_sleep(100);
-- chaos:check
SELECT chaos.no_leaks('its own leaks');
"""
TAKERS = """
-- chaos:sandbox schema
-- chaos:session taker
-- chaos:expect CH002
SELECT chaos.wait_for('go', '0');
-- chaos:expect CH002
SELECT chaos.barrier('both', 2, '0');
-- chaos:expect CH004
SELECT chaos.cancel('ready');
-- chaos:expect CH004
SELECT chaos.terminate('ready');
-- chaos:expect CH004
SELECT chaos.wait_blocked('ready', '0');
-- chaos:session a
SELECT chaos.signal('come');
SELECT chaos.barrier('all', 2);
-- chaos:session b
SELECT chaos.wait_for('come');
SELECT chaos.barrier('all', 2);
-- chaos:check
SELECT chaos.no_leaks('no leak of another');
"""


def test_the_toolkit_finds_what_is_of_the_same_scenario_only(play_own: Play) -> None:
    with at_once(play_own, GIVER) as go_on:
        # an error that is expected and does not come would be a failure
        assert held(play_own(TAKERS)) == ["no leak of another"]
        assert held(go_on()) == ["its own leaks"]


def test_what_the_takers_do_not_find_would_be_found_in_their_own_scenario(play_own: Play) -> None:
    ready = "-- chaos:session ready\nSELECT chaos.signal('go');\n-- chaos:signal given\n"
    taker = "-- chaos:session taker\n-- chaos:wait for given\nSELECT chaos.wait_for('go', '0');\n"
    assert held(play_own(HEAD + ready + taker + CHECKED)) == ["checked"]


# connections that are kept


def test_fifty_in_a_row_take_one_database_and_the_connections_of_one(play_own: Play) -> None:
    def connections() -> set[object]:
        others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        return set(column(play_own.server, f"SELECT pid FROM pg_stat_activity WHERE {others}"))

    shared = shared_database(play_own.server)
    play_own.server.close_unused()
    assert held(play_own(GUEST)) == ["its own table", "its own history", "its own transactions"]
    before, databases = connections(), set(column(play_own.server, "SELECT datname FROM pg_database"))
    for _ in range(50):
        assert not play_own(GUEST).failures
    # those of the looks from here may still be ending
    until(lambda: connections() <= before, "no connection was added")
    # clones are made ahead for those that want a database each, but none is used up
    assert set(column(play_own.server, "SELECT datname FROM pg_database")) >= databases
    assert shared_database(play_own.server) == shared

    def dropped() -> bool:
        left = "SELECT relnamespace::regnamespace FROM pg_class WHERE relname IN ('seat', 'seat_pkey')"
        return not column(play_own.server, left, shared)

    until(dropped, "the schemas are dropped")
    assert len(column(play_own.server, "SELECT 1 FROM pg_namespace WHERE nspname ~ '^chaos_s'", shared)) < 10


MADE = {
    "pg_class": "SELECT relname FROM pg_class WHERE relname ~ '^planted'",
    "pg_proc": "SELECT proname FROM pg_proc WHERE proname ~ '^planted'",
    "pg_type": "SELECT typname FROM pg_type WHERE typname ~ '^_?planted'",
}


def test_all_that_a_scenario_makes_is_dropped(play_own: Play) -> None:
    result = play_own(
        """
        -- chaos:sandbox schema
        -- chaos:setup
        CREATE TYPE planted_mood AS ENUM ('good');
        CREATE TABLE planted (id serial PRIMARY KEY, mood planted_mood);
        CREATE VIEW planted_view AS SELECT * FROM planted;
        CREATE FUNCTION planted_function(planted) RETURNS int LANGUAGE sql AS 'SELECT 1';
        SELECT chaos.inject_delay('planted', 'INSERT', '1ms');
        INSERT INTO planted (mood) VALUES ('good');
        -- chaos:session s
        CREATE TEMP TABLE planted_here AS SELECT planted_function(p) FROM planted AS p;
        -- chaos:check
        SELECT is(current_schema()::text, current_setting('chaos.run'), 'the schema is first');
        SELECT is(count(*), 1::bigint, 'there is one') FROM planted;
        """
    )
    assert held(result) == ["the schema is first", "there is one"]
    shared = shared_database(play_own.server)
    for query in MADE.values():
        until(lambda query=query: not column(play_own.server, query, shared), query)  # type: ignore[misc]  # mypy #12557


CHANGES = r"""
-- chaos:sandbox schema
-- chaos:leaves open transaction it is meant
-- chaos:leaves advisory lock it is meant
-- chaos:setup
CREATE SEQUENCE ids;
-- chaos:session changes x 2
SELECT pg_backend_pid() AS pid \gset
\echo pid :pid
SET work_mem = '1234kB';
SET lock_timeout = '1h';
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, ISOLATION LEVEL REPEATABLE READ;
SET client_encoding = 'latin1';
SET client_min_messages = 'error';
PREPARE kept AS SELECT 1;
CREATE TEMP TABLE kept AS SELECT 1;
SELECT nextval('ids');
SELECT chaos.fail_nth(7, '40001');
BEGIN;
DECLARE kept CURSOR WITH HOLD FOR SELECT 1;
COMMIT;
SELECT 'LISTEN kept' \gexec
SELECT 'SELECT pg_advisory_lock_shared(7)' \gexec
SET SESSION AUTHORIZATION pg_monitor;
SET ROLE NONE;
BEGIN;
SELECT 1;
-- chaos:check
SELECT pass('checked');
"""
IS_PRISTINE = r"""
-- chaos:session anew x 5
SELECT pg_backend_pid() AS pid \gset
\echo pid :pid
SELECT chaos.assert(bool_and(setting = reset_val OR name IN ('application_name', 'search_path')), 'settings')
  FROM pg_settings WHERE source = 'session' OR name ~ 'encoding|timeout|messages|isolation|read_only';
SELECT chaos.assert(current_setting('application_name') = 'anew[' || :worker || ']', 'its name');
SELECT chaos.assert(chaos.session() = 'anew' AND chaos.worker() = :worker AND chaos.iteration() = 1, 'who it is');
SELECT chaos.assert(current_user = session_user AND session_user <> 'pg_monitor', 'its role');
SELECT chaos.assert(count(*) = 0, 'prepared statements') FROM pg_prepared_statements;
SELECT chaos.assert(count(*) = 0, 'cursors') FROM pg_cursors WHERE name <> '';
SELECT chaos.assert(count(*) = 0, 'channels') FROM pg_listening_channels();
SELECT chaos.assert(to_regclass('pg_temp.kept') IS NULL, 'temporary tables');
SELECT chaos.assert(count(*) = 0, 'advisory locks')
  FROM chaos.locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
-- chaos:expect 55000
SELECT lastval();
"""


def test_a_kept_connection_is_like_a_new_one(play_own: Play) -> None:
    play_own.server.close_unused()
    first = play_own(CHANGES)
    assert held(first) == ["checked"]
    second = play_own(HEAD + IS_PRISTINE)
    assert len(held(second)) == 9
    # five were kept, and one of them serves the engine: a session has at least one of the two that were changed
    assert set(pids(second)) & set(pids(first))
    third = play_own(IS_PRISTINE)  # what it asks holds on connections that are new
    assert held(third) == held(second)
    assert not set(pids(third)) & set(pids(first))


def test_a_check_is_not_taken_for_the_session_that_had_its_connection(play_own: Play) -> None:
    play_own.server.close_unused()
    many = play_own(HEAD + f"-- chaos:session s x 6\n{TELLS_PIDS}" + CHECKED)
    assert held(many) == ["checked"]
    result = play_own(
        HEAD + "-- chaos:setup\nCREATE TABLE t AS SELECT chaos.session() AS session, chaos.worker() AS worker;\n"
        "-- chaos:check\nSELECT is(session || worker, NULL, 'setup is no session') FROM t;\n"
        "SELECT is(chaos.session() || chaos.worker(), NULL, 'nor is check');\n"
    )
    assert held(result) == ["setup is no session", "nor is check"]


@pytest.mark.parametrize(
    "statement",
    [
        "SET my.own = '1'",
        'SET LOCAL "my".own = 1',
        'SET "my.own" = 1',
        "SELECT set_config('my.own', '1', false)",
        "DO $$ BEGIN SET my.own = 1; END $$",
        "SELECT setseed(0.5)",
        "SELECT chaos.seed()",
        "LOAD 'plpgsql'",
        "CREATE FUNCTION pg_temp.f() RETURNS float8 LANGUAGE 'internal' AS 'dpi'",
    ],
)
def test_a_session_that_cannot_be_made_anew_is_not_kept(play_own: Play, statement: str) -> None:
    play_own.server.close_unused()
    plain = HEAD + f"-- chaos:session s x 4\n{TELLS_PIDS}"
    first, changing, last = (play_own(text + CHECKED) for text in (plain, plain + f"{statement};\n", plain))
    assert held(first) == held(changing) == held(last) == ["checked"]
    # of the four two may serve the engine and check
    assert set(pids(changing)) & set(pids(first))
    assert not set(pids(last)) & set(pids(changing))


def test_a_session_that_was_cancelled_is_not_kept(play_own: Play) -> None:
    # a cancel that was asked for twice may come late, and hit the next session on the connection
    failed = play_own(FAILING.replace("SELECT pg_sleep", TELLS_PIDS + "\nSELECT pg_sleep"))
    assert "division_by_zero" in only(failed).names
    for _ in range(3):
        result = play_own(HEAD + f"-- chaos:session other x 4\n{TELLS_PIDS}" + CHECKED)
        assert held(result) == ["checked"]
        assert not set(pids(failed)) & set(pids(result))


def test_kept_connections_that_were_lost_are_made_again(play_own: Play) -> None:
    text = HEAD + f"-- chaos:session s x 3\n{TELLS_PIDS}" + CHECKED
    before = play_own(text)
    shared = shared_database(play_own.server)
    with play_own.server.connect() as conn:
        conn.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", [shared])
    after = play_own(text)
    assert held(after) == ["checked"]
    assert not set(pids(before)) & set(pids(after))


ENDS = (
    "SELECT 'SELECT pg_terminate_backend(' || pid || ', 60000)' FROM pg_stat_activity"
    " WHERE datname = current_database()"
)
OTHERS = {
    "setup ends all that are being made ready": f"-- chaos:setup\n{ENDS} AND pid <> pg_backend_pid() \\gexec\n"
    "-- chaos:session s x 2\nSELECT 1;\n",
    "a session ends the check that has been begun": "-- chaos:session s\n"
    f"{ENDS} AND application_name = 'check' \\gexec\n",
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS.keys())
def test_connections_that_end_before_they_are_used_are_made_again(play_own: Play, text: str) -> None:
    assert held(play_own(GUEST))
    for _ in range(2):
        assert held(play_own(HEAD + text + CHECKED)) == ["checked"]


def test_kept_connections_make_room(server: Server, tmp_path: Path) -> None:
    with server.connect() as conn:
        conn.execute("CREATE ROLE sparing LOGIN CREATEDB CONNECTION LIMIT 16")
    try:
        dsn = make_conninfo(server.conninfo(), user="sparing", options="")
        with open_server(ServerSettings(dsn=dsn, clones=1)) as sparing:
            play = Play(sparing, tmp_path)
            for text in (HEAD + "-- chaos:session s x 8\nSELECT 1;\n", "-- chaos:session s x 8\nSELECT 1;\n") * 2:
                assert held(play(text + CHECKED)) == ["checked"]
    finally:
        with server.connect() as conn:
            conn.execute("DROP ROLE sparing")


def test_nothing_is_kept_while_a_scenario_is_alone(play_own: Play) -> None:
    kept = sql.Literal(shared_database(play_own.server)).as_string(None)
    count = f"SELECT 1 FROM pg_stat_activity WHERE datname = {kept} AND application_name = 'pgchaos'"
    assert held(play_own(GUEST))
    until(lambda: column(play_own.server, count), "its connections are reset, and kept")
    assert held(play_own("-- chaos:alone\n-- chaos:session s\nSELECT 1;\n" + CHECKED)) == ["checked"]
    until(lambda: not column(play_own.server, count), "kept connections are closed")


# leaks


LEAKS = {
    "open transaction": "BEGIN;\nSELECT 1;",
    "advisory lock": "SELECT 'SELECT pg_advisory_lock(7)' \\gexec",
    "invalid index": "-- chaos:expect 23505\nSELECT 'CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)' \\gexec",
}


@pytest.mark.parametrize(("kind", "how"), LEAKS.items(), ids=LEAKS.keys())
def test_a_leak_is_the_scenarios_own(play_own: Play, kind: str, how: str) -> None:
    setup = "-- chaos:setup\nCREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 1;\n"
    for _ in range(2):
        failure = only(play_own(HEAD + f"{setup}-- chaos:session s\n{how}\n{CHECKED}"))
        assert (failure.kind, failure.names) == ("leak", (kind,))
    assert held(play_own(GUEST)) == ["its own table", "its own history", "its own transactions"]


def test_a_leak_of_a_neighbour_is_none(play_own: Play) -> None:
    with play_own.server.sandbox((), schema=True) as other, connected(other, "ready[1]") as conn:
        conn.execute("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 1")
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)")
        conn.execute("BEGIN; SELECT pg_advisory_lock(7)")
        assert held(play_own(GUEST)) == ["its own table", "its own history", "its own transactions"]


# servers that are not ours


def test_on_a_server_not_ours_the_shared_database_goes(foreign_server: ForeignServer, tmp_path: Path) -> None:
    before = foreign_server.databases()
    with open_server(ServerSettings(dsn=foreign_server.dsn)) as server:
        assert held(Play(server, tmp_path)(GUEST)) == ["its own table", "its own history", "its own transactions"]
    assert foreign_server.databases() == before


def test_in_place_there_is_a_schema_too(foreign_server: ForeignServer, tmp_path: Path) -> None:
    with open_server(ServerSettings(dsn=foreign_server.dsn, in_place=True)) as server:
        play = Play(server, tmp_path)
        for _ in range(2):
            assert held(play(GUEST)) == ["its own table", "its own history", "its own transactions"]
    with foreign_server.connect() as conn:
        left = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^chaos'").fetchall()
        assert left == []
        assert conn.execute("SELECT to_regclass('seat')").fetchone() == (None,)
