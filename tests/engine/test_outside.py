"""Changes outside a run's schema are gone when the next run begins, in a search and with `sandbox schema`."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from pgchaos.results import RunResult
from pgchaos.server import Server, ServerSettings, open_server
from pgchaos.server.outside_schemas import read_outside_state
from tests.engine.playing import CHECKED, Play, held, interleavings, only

MOTEL = r"""
CREATE TABLE booking (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, room int NOT NULL);
CREATE SEQUENCE ticket;
CREATE FUNCTION book(a_room int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM booking WHERE room = a_room) THEN RETURN false; END IF;
    INSERT INTO booking (room) VALUES (a_room);
    RETURN true;
END $$;
CREATE FUNCTION motel_do(command text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE command; END $$;
CREATE FUNCTION motel_state() RETURNS text LANGUAGE sql AS $$
    SELECT md5(concat_ws('|',
        (SELECT string_agg(b::text, ' ' ORDER BY id) FROM booking b),
        (SELECT last_value || ' ' || is_called FROM ticket),
        (SELECT last_value || ' ' || is_called FROM booking_id_seq),
        (SELECT count(*) FROM pg_largeobject_metadata),
        (SELECT string_agg(n.nspname || '.' || relname || coalesce(relacl::text, ''), ' ' ORDER BY c.oid)
           FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
          WHERE nspname !~ '^(chaos_s|pg_toast|pg_temp)' AND relname !~ '^(pg_toast|__t)'),
        (SELECT string_agg(proname || prosrc || coalesce(proacl::text, ''), ' ' ORDER BY p.oid) FROM pg_proc p
          WHERE pronamespace::regnamespace::text !~ '^chaos_s'),
        (SELECT string_agg(d::text, ' ' ORDER BY d::text) FROM pg_description d WHERE objoid < 16384),
        (SELECT count(*) FROM pg_cast), (SELECT count(*) FROM pg_default_acl), (SELECT count(*) FROM pg_publication),
        (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_foreign_data_wrapper),
        (SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^(chaos_s|pg_)'),
        (SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting
          WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())),
        (SELECT extversion || extrelocatable FROM pg_extension WHERE extname = 'motel'),
        (SELECT string_agg(name, ' ') FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE is_holdable),
        (SELECT string_agg(c, ' ') FROM pg_listening_channels() c),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid <> 1667785071),
        coalesce(current_setting('motel.tenant', true), 'none'), current_setting('work_mem')))
$$;
"""
HEAD = """\
-- A motel
-- chaos:requires extension motel
"""
TELLS_STATE = r"""
-- chaos:setup
CREATE TABLE mine (id int);
SELECT motel_state() AS state \gset
\echo state :state
"""

LEAVES = {
    "rows of an extension": "INSERT INTO booking (room) VALUES (1)",
    "a sequence of an extension": "SELECT nextval('ticket')",
    "a sequence that a rollback does not put back": "DO $$BEGIN PERFORM setval('ticket', 5); BEGIN "
    "PERFORM nextval('booking_id_seq'); RAISE 'no'; EXCEPTION WHEN raise_exception THEN END; END$$",
    "a large object": "SELECT lo_create(0)",
    "a table in another schema": "CREATE TABLE public.extra (id int)",
    "an index on a table of an extension": "CREATE INDEX ON booking (room)",
    "a schema": "CREATE SCHEMA extra",
    "a comment": "COMMENT ON FUNCTION now() IS 'late'",
    "a privilege": "GRANT SELECT ON booking TO PUBLIC",
    "default privileges": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "a cast": "CREATE CAST (int AS xid) WITHOUT FUNCTION",
    "a publication": "CREATE PUBLICATION extra",
    "a foreign-data wrapper": "CREATE FOREIGN DATA WRAPPER extra",
    "a setting of the database": "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', "
    "current_database()); END$$",
    "a function of the server": "DO $$BEGIN EXECUTE 'CREATE OR REPLACE FUNCTION pg' || '_catalog.text(xml) RETURNS "
    "text LANGUAGE sql AS $x$SELECT NULL::text$x$'; END$$",
    "an extension that is altered": "DO $$BEGIN EXECUTE 'UPDATE pg' || '_extension SET extversion = 2'; END$$",
    "a setting that the session makes up": "DO $$BEGIN EXECUTE 'S' || 'ET motel.tenant = 1'; END$$",
    "a setting of the session": "SET work_mem = '7MB'",
    "a prepared statement": "PREPARE p AS SELECT 1",
    "a channel": "LISTEN news",
    "an advisory lock": "SELECT pg_advisory_lock(1)",
    "a cursor": "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
}
OF_A_SESSION = [*LEAVES][-6:]
"""Those that end with it, as every session of this scenario does: its extension could do anything to one."""


@pytest.fixture(scope="module")
def motel() -> Iterator[Server]:
    """A server with an extension that has tables, and functions that do what they are told."""
    # the server's account reads it, which may not look into the folders of pytest
    with tempfile.TemporaryDirectory() as place, open_server(ServerSettings()) as server:
        if server.version < 180000:
            pytest.skip("PostgreSQL looks for extensions elsewhere from version 18 on")
        folder = Path(place) / "extension"
        folder.mkdir()
        for one in (folder.parent, folder):
            one.chmod(0o755)
        (folder / "motel.control").write_text("default_version = '1.0'\nrelocatable = true\n")
        (folder / "motel--1.0.sql").write_text(MOTEL)
        with server.connect() as conn:
            path = f"{place}:$system"
            conn.execute(f"ALTER SYSTEM SET extension_control_path = '{path}'".encode())
            conn.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def stay(motel: Server, tmp_path: Path) -> Play:
    """Play a scenario's text on that server, which has not yet found out what the extension does."""
    motel._sandboxes._not_shared.clear()
    return Play(motel, tmp_path)


def states(result: RunResult) -> set[str]:
    """Tell the states in which runs began."""
    return {line.rsplit(" ", 1)[1] for line in result.output if " state " in f" {line}"}


def sessions(*commands: str) -> str:
    """Write sessions of a statement each."""
    quoted = (f"SELECT motel_do($m${command}$m$);" for command in commands)
    return "".join(f"\n-- chaos:session s{number}\n{one}\n" for number, one in enumerate(quoted))


def test_a_search_finds_what_an_exact_schedule_shows(stay: Play) -> None:
    guests = """
        -- chaos:session guest x 2
        BEGIN;
        SELECT book(101);
        COMMIT;
        -- chaos:check
        SELECT is(count(*), 1::bigint, 'one guest has the room') FROM booking;
    """.replace("        ", "")
    exact = "-- chaos:schedule guest[1].1 guest[1].2 guest[2].1 guest[2].2 guest[1].3 guest[2].3\n"
    assert only(stay(HEAD + exact + guests)).names == ("one guest has the room",)
    for schedule in ("all", "explore 50"):
        result = stay(f"{HEAD}-- chaos:schedule {schedule}\n{guests}")
        assert only(result).names == ("one guest has the room",)
    assert interleavings(result).failed == 1


def test_values_are_tried_each_in_a_state_like_the_first(stay: Play) -> None:
    result = stay(
        HEAD + "-- chaos:given room in 1..3\n" + TELLS_STATE + "-- chaos:session guest\nSELECT book(:room);\n"
        "-- chaos:check\nSELECT is(count(*), 1::bigint, 'only this booking is there') FROM booking;\n"
    )
    assert (result.failures, len(states(result))) == ([], 1)


def test_a_table_of_an_extension_is_compared_where_the_scenario_hides_it(stay: Play) -> None:
    hides = "-- chaos:schedule all\n-- chaos:setup\nCREATE TABLE booking (mine int);\n"
    other = "\n-- chaos:session other\nSELECT count(*) FROM booking;\n"
    result = stay(HEAD + hides + sessions("INSERT INTO public.booking (room) VALUES (1)") + other + CHECKED)
    assert result.failures == []
    (note,) = (note for note in result.remarks if "changed, so that" in note)
    assert "public.booking, public.booking_id_seq changed" in note
    result = stay(HEAD + hides + sessions("INSERT INTO booking VALUES (1)") + other + CHECKED)
    assert (result.failures, [note for note in result.remarks if "changed, so that" in note]) == ([], [])


@pytest.mark.parametrize("what", LEAVES)
def test_every_run_of_a_search_begins_as_the_first_did(what: str, stay: Play) -> None:
    result = stay(
        HEAD + "-- chaos:leaves advisory lock it is meant\n" * (what == "an advisory lock") + "-- chaos:schedule all\n"
        "" + TELLS_STATE + sessions(LEAVES[what], "INSERT INTO mine VALUES (1)") + CHECKED
    )
    assert result.failures == []
    assert interleavings(result).run == 2
    assert any("changed, so that" in note for note in result.remarks) == (what not in OF_A_SESSION)
    assert len(states(result)) == 1


def test_what_a_search_of_random_statements_leaves_is_not_there_for_its_next_run(stay: Play) -> None:
    for seed in range(6):
        chance = random.Random(seed)
        chosen = chance.sample([*LEAVES.values()], 2)
        locks = "-- chaos:leaves advisory lock it is meant\n" if LEAVES["an advisory lock"] in chosen else ""
        result = stay(HEAD + locks + "-- chaos:schedule explore 6\n" + TELLS_STATE + sessions(*chosen) + CHECKED)
        assert (result.failures, len(states(result))) == ([], 1), (seed, chosen)


def test_scenarios_in_schemas_begin_alike_and_what_changed_is_reported(stay: Play) -> None:
    head = HEAD + "-- chaos:sandbox schema\n"
    guest = "\n-- chaos:session guest\nSELECT book(7);\n" + CHECKED
    # the first finds out that the extension keeps data; from then on nobody shares its database
    results = [stay(head + TELLS_STATE + guest) for _ in range(3)]
    assert [result.failures for result in results] == [[], [], []]
    assert len(set().union(*map(states, results))) == 1


def test_a_schema_scenario_that_defines_something_elsewhere_spoils_nothing(play: Play) -> None:
    text = """
        -- chaos:sandbox schema
        -- chaos:session maker
        DO $$ BEGIN EXECUTE 'CREATE TABLE ' || 'public.' || 'elsewhere (id int)'; END $$;
        -- chaos:check
        SELECT pass('checked');
    """
    for _ in range(2):
        result = play(text)
        assert result.failures == []
        (note,) = result.remarks
        assert note.startswith("scenario.sql: outside the schema of a run, pg_class, pg_type changed")


def test_what_a_schema_holds_is_not_taken_for_a_change_elsewhere(play: Play) -> None:
    result = play(r"""
        -- chaos:sandbox schema
        -- chaos:setup
        CREATE TABLE t (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, j jsonb DEFAULT '{}', n numeric CHECK (n > 0));
        CREATE INDEX ON t (n);
        CREATE VIEW v AS SELECT * FROM t;
        CREATE TYPE mood AS ENUM ('a');
        CREATE TYPE span AS RANGE (subtype = int4);
        CREATE DOMAIN d AS int CHECK (value > 0);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
        CREATE AGGREGATE ag(int) (sfunc = int4pl, stype = int);
        CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);
        CREATE MATERIALIZED VIEW mv AS SELECT 1;
        CREATE STATISTICS st ON id, n FROM t;
        COMMENT ON TABLE t IS 'x';
        GRANT SELECT ON t TO PUBLIC;
        CREATE POLICY p ON t;
        CREATE TEMP TABLE tt (a int, b text);
        CREATE TABLE u (id int REFERENCES t);
        CREATE RULE ru AS ON INSERT TO u DO ALSO NOTHING;
        ALTER TABLE u ADD UNIQUE (id);
        CREATE TABLE part (a int) PARTITION BY list (a);
        CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
        ALTER TYPE mood ADD VALUE 'b';
        CREATE OPERATOR CLASS oc FOR TYPE int4 USING btree AS OPERATOR 1 <;
        CREATE TEXT SEARCH CONFIGURATION tc (copy = english);
        CREATE COLLATION co (locale = 'C');
        ANALYZE t;
        DROP VIEW v;
        -- chaos:session s
        INSERT INTO t (n) VALUES (1);
        -- chaos:check
        SELECT pass('checked');
    """)
    assert (result.failures, result.remarks) == ([], [])


def test_a_search_that_leaves_nothing_has_one_database(play: Play) -> None:
    result = play(r"""
        -- chaos:requires extension btree_gist
        -- chaos:schedule all
        -- chaos:setup
        CREATE TABLE stay (room int, at int4range, EXCLUDE USING gist (room WITH =, at WITH &&));
        SELECT current_database() AS place \gset
        \echo place :place
        -- chaos:session one
        INSERT INTO stay VALUES (1, '[1,3)');
        -- chaos:session two
        INSERT INTO stay VALUES (2, '[1,3)');
        -- chaos:session three
        INSERT INTO stay VALUES (3, '[1,3)');
        -- chaos:check
        SELECT is(count(*), 3::bigint, 'all stay') FROM stay;
    """)
    assert (result.failures, result.remarks) == ([], [])
    assert len({line for line in result.output if "place " in line}) == 1


def test_a_table_that_our_role_may_not_read_is_proven_nothing_of(server: Server) -> None:
    with server.sandbox() as sandbox, psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
        conn.execute("CREATE ROLE pgchaos_reader; CREATE TABLE public.closed (id int)")
        try:
            conn.execute("SET ROLE pgchaos_reader")
            assert read_outside_state(conn).unreadable == ("public.closed",)
        finally:
            conn.execute("RESET ROLE; DROP ROLE pgchaos_reader")


@pytest.mark.parametrize("puts_back", [False, True])
def test_in_place_a_search_whose_runs_do_not_begin_alike_is_refused(
    puts_back: bool, server: Server, tmp_path: Path
) -> None:
    back = "-- chaos:teardown\nUPDATE public.guests SET name = 'ann';\n"
    text = """\
-- chaos:schedule all
-- chaos:session one
UPDATE public.guests SET name = 'bob';
-- chaos:session two
SELECT count(*) FROM public.guests;
-- chaos:check
SELECT pass('checked');
"""
    with server.sandbox() as sandbox:
        with psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
            conn.execute("DROP SCHEMA chaos CASCADE; CREATE TABLE public.guests (name text, every int)")
            conn.execute("INSERT INTO public.guests VALUES ('ann')")
        with open_server(ServerSettings(dsn=sandbox.conninfo, in_place=True)) as place:
            result = Play(place, tmp_path)(text + back * puts_back)
    if puts_back:
        assert result.failures == []
    else:
        assert "would not begin as the first did: public.guests changed, and in place" in only(result).text


def test_in_place_a_note_names_the_tables_that_cannot_be_checked(server: Server, tmp_path: Path) -> None:
    with server.sandbox() as sandbox:
        with psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
            conn.execute("DROP SCHEMA chaos CASCADE; CREATE ROLE clerk LOGIN; GRANT ALL ON SCHEMA public TO clerk")
            conn.execute(SQL("GRANT ALL ON DATABASE {} TO clerk").format(Identifier(conn.info.dbname)))
            conn.execute("CREATE TABLE public.open (n int); GRANT ALL ON public.open TO clerk")
            conn.execute("CREATE TABLE public.hidden (n int); GRANT INSERT ON public.hidden TO clerk")
            conn.execute("CREATE TABLE public.secured (n int); ALTER TABLE public.secured ENABLE ROW LEVEL SECURITY")
            conn.execute("GRANT ALL ON public.secured TO clerk")
            conn.execute("CREATE SCHEMA closed; CREATE TABLE closed.t (n int); GRANT ALL ON closed.t TO clerk")
        try:
            dsn = make_conninfo(sandbox.conninfo, user="clerk", options="")
            with open_server(ServerSettings(dsn=dsn, in_place=True)) as place:
                result = Play(place, tmp_path)(
                    """
                    -- chaos:schedule all
                    -- chaos:session one
                    INSERT INTO public.hidden VALUES (1);
                    -- chaos:session two
                    SELECT 1;
                    -- chaos:check
                    SELECT pass('checked');
                    """
                )
        finally:
            with psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
                conn.execute("DROP OWNED BY clerk; DROP ROLE clerk")
    assert held(result) == ["checked"]
    (remark,) = result.remarks
    assert "whether a run changes closed.t, public.hidden, public.secured is not checked" in remark
