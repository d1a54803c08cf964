"""In a database of the user's: plain files run as under pg_prove, and event triggers see nothing of what we bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.plain_files import Contents
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server, ServerError, ServerSettings, in_place, open_server
from pgchaos.server.health import NoAnswer
from pgchaos.server.settings import Conninfo
from tests.conftest import ForeignServer
from tests.engine.playing import held

PLAIN = "BEGIN; SELECT plan(1); SELECT {}; SELECT * FROM finish(); ROLLBACK;"
CHECK = "-- One\n-- chaos:check\nSELECT ok(true, 'it runs');\n"
TABLE = "CREATE TABLE public.seen (name text, tag text); GRANT INSERT ON public.seen TO public"


@pytest.fixture
def reader(foreign_server: ForeignServer, shop: str) -> str:
    """The same as a role that has rights in it, and no others."""
    foreign_server.role("reader", "LOGIN")
    with psycopg.connect(shop, autocommit=True) as conn:
        conn.execute("GRANT CREATE ON DATABASE shop TO reader")
    return make_conninfo(shop, user="reader")


def play(server: Server, folder: Path, text: str) -> RunResult:
    path = folder / "file.sql"
    path.write_text(text)
    return run(read(path), {}, server, RunSettings(1, 60.0))


def names(dsn: str) -> list[str]:
    """Name the schemas and extensions of a database."""
    with psycopg.connect(dsn) as conn:
        rows = conn.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
            " UNION ALL SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
        )
        return [str(name) for (name,) in rows]


def offers_pgtap(dsn: str) -> bool:
    with psycopg.connect(dsn) as conn:
        return conn.execute("SELECT FROM pg_available_extensions WHERE name = 'pgtap'").fetchone() is not None


@contextmanager
def database_with_pgtap(server: ForeignServer, name: str) -> Iterator[str]:
    """Make a database of the user's that has pgTAP, and give how to connect to it."""
    if not offers_pgtap(server.dsn):
        pytest.skip("needs the extension pgTAP on the server")
    with server.connect() as conn:
        conn.execute(f"CREATE DATABASE {name}")
        dsn = make_conninfo(server.dsn, dbname=name)
        with psycopg.connect(dsn, autocommit=True) as own:
            own.execute("CREATE EXTENSION pgtap")
        yield dsn
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_plain_file_finds_the_database_as_it_is(shop: str, tmp_path: Path) -> None:
    if not offers_pgtap(shop):
        pytest.skip("needs the extension pgTAP on the server")
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        result = play(server, tmp_path, PLAIN.format("schemas_are(ARRAY['public'])"))
        assert held(result) == ["There should be the correct schemas"]
        assert result.notes == []
        result = play(server, tmp_path, PLAIN.format("is(current_setting('search_path'), '\"$user\", public')"))
        assert len(held(result)) == 1
    assert names(shop) == ["public"]


def test_a_plain_file_may_set_its_search_path_and_leave_what_it_commits(shop: str, tmp_path: Path) -> None:
    if not offers_pgtap(shop):
        pytest.skip("needs the extension pgTAP on the server")
    text = "CREATE SCHEMA app CREATE TABLE t (); SET search_path TO app, public; " + PLAIN.format(
        "has_table('t'::name)"
    )
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        result = play(server, tmp_path, text)
        assert held(result) == ["Table t should exist"]
        assert result.notes == ["the file left in database shop: schema app, table app.t"]
        assert names(shop) == ["app", "public"]
        result = play(server, tmp_path, "CREATE EXTENSION pgtap; " + PLAIN.format("pass('its own')"))
        assert held(result) == ["its own"]
        assert result.notes == ["the file left in database shop: extension pgtap"]
    assert names(shop) == ["app", "pgtap", "public"]


@pytest.mark.parametrize("contents", [Contents.TOOLKIT, Contents.NOTHING])
def test_an_interrupted_file_leaves_nothing_to_report(shop: str, contents: Contents) -> None:
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        database = server._user_database
        with pytest.raises(KeyboardInterrupt), database.sandbox((), contents):
            raise KeyboardInterrupt
        assert names(shop) == ["public"]
        assert database.clean
        assert server.close() == []


def test_what_could_not_be_removed_is_reported(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> None:
        raise NoAnswer

    server = open_server(ServerSettings(dsn=shop, in_place=True))
    with monkeypatch.context() as patch, server._user_database.sandbox(()):
        patch.setattr("pgchaos.server.in_place.remove_installed", silent)
    (line,) = server.close()  # the server answers again
    assert "what was installed in database shop" in line


@pytest.mark.parametrize(
    ("lock", "message"),
    [
        ("LOCK TABLE orders", "cannot read database shop: another session has locked one of its tables for too long"),
        ("CREATE SCHEMA chaos", "the toolkit cannot be created: canceling statement due to lock timeout"),
    ],
)
def test_another_session_s_lock_is_not_waited_for_without_end(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str, message: str
) -> None:
    for name in ("LOCK_TIMEOUT", "_QUIETLY"):
        monkeypatch.setattr(in_place, name, "SET LOCAL lock_timeout = '100ms'")
    with psycopg.connect(shop) as conn, open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        conn.execute("CREATE TABLE orders ()")
        conn.commit()
        conn.execute(lock.encode())
        with pytest.raises(ServerError, match=message):
            play(server, tmp_path, f"-- chaos:schedule all\n-- chaos:session a x 2\nSELECT 1;\n{CHECK}")
        conn.rollback()
    assert names(shop) == ["public"]


def test_what_was_never_installed_is_not_reported(foreign_server: ForeignServer, shop: str) -> None:
    foreign_server.role("guest", "LOGIN")
    with psycopg.connect(shop, autocommit=True) as conn:
        server = open_server(ServerSettings(dsn=Conninfo(make_conninfo(shop, user="guest")), in_place=True))
        with pytest.raises(ServerError, match="needs a role that can create schemas"), server.sandbox():
            pass
        conn.execute("CREATE SCHEMA chaos")
        with pytest.raises(ServerError, match="has a schema chaos that is not ours"), server.sandbox():
            pass
    # else the statement that drops the schema would be advised
    assert server._user_database.clean
    assert server.close() == []


def test_a_scenario_may_set_its_search_path(shop: str, tmp_path: Path) -> None:
    if not offers_pgtap(shop):
        pytest.skip("needs the extension pgTAP on the server")
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        assert held(play(server, tmp_path, CHECK.replace("SELECT", "SET search_path = public; SELECT"))) == ["it runs"]
    assert names(shop) == ["public"]


@pytest.mark.parametrize("text", [PLAIN.format("pass('it runs')"), CHECK])
def test_a_role_that_may_not_make_anything_in_public(reader: str, tmp_path: Path, text: str) -> None:
    with psycopg.connect(make_conninfo(reader, user="postgres"), autocommit=True) as conn:
        conn.execute("REVOKE CREATE ON SCHEMA public FROM public")
    with open_server(ServerSettings(dsn=reader, in_place=True)) as server:
        assert held(play(server, tmp_path, text)) == ["it runs"]
    assert names(reader) == ["public"]


def test_functions_of_the_user_that_are_called_as_pgtaps_stay(shop: str, tmp_path: Path) -> None:
    with psycopg.connect(shop, autocommit=True) as conn:
        conn.execute("CREATE FUNCTION public.pass(text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$")
        with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
            assert held(play(server, tmp_path, CHECK)) == ["it runs"]
        assert conn.execute("SELECT public.pass('x')").fetchone() == ("mine",)
    assert names(shop) == ["public"]


def watched(dsn: str, *modes: str) -> None:
    """Put an event trigger for each mode of firing into a database."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(TABLE)
        for mode in modes:
            conn.execute(
                f"CREATE FUNCTION public.see_{mode}() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
                # what a file's own sessions make, such as the tables of pgTAP's plan, is the file's
                f" IF current_setting('application_name') LIKE 'pgchaos%' THEN"
                f" INSERT INTO public.seen VALUES ('{mode}', TG_TAG); END IF; END $$".encode()
            )
        for event in ("ddl_command_end", "sql_drop"):
            for mode in modes:
                name = f"{mode}_{event}"
                conn.execute(f"CREATE EVENT TRIGGER {name} ON {event} EXECUTE FUNCTION public.see_{mode}()".encode())
                if mode != "origin":
                    conn.execute(f"ALTER EVENT TRIGGER {name} ENABLE {mode}".encode())
        conn.execute("TRUNCATE public.seen")


def seen(dsn: str) -> set[str]:
    """Name the modes whose triggers have seen something of ours."""
    with psycopg.connect(dsn) as conn:
        return {str(mode) for (mode,) in conn.execute("SELECT name FROM public.seen")}


def test_no_event_trigger_fires_for_what_a_superuser_brings_in(shop: str, tmp_path: Path) -> None:
    watched(shop, "origin")
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        assert server.banner.endswith("(not ours: works in place in database shop)")
        for text in (CHECK, PLAIN.format("pass('it runs')")):
            assert held(play(server, tmp_path, text)) == ["it runs"]
    assert seen(shop) == set()


@pytest.mark.parametrize("modes", [("origin", "always"), ("origin", "replica"), ("replica",), ("always",)])
def test_one_that_cannot_be_disabled_is_named(shop: str, tmp_path: Path, modes: tuple[str, ...]) -> None:
    watched(shop, *modes)
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        assert held(play(server, tmp_path, CHECK)) == ["it runs"]
        loud = set()
        if server.version < 170000:
            # never those that would not fire for anybody else
            loud = {"always"} if "always" in modes else set(modes) - {"replica"}
        for mode in ("origin", "always", "replica"):
            assert (f"{mode}_sql_drop" in server.banner) is (mode in loud)
    assert seen(shop) == loud


def test_an_ordinary_role_gets_a_note_and_one_with_set_on_the_parameter_disables_them(
    foreign_server: ForeignServer, shop: str, reader: str, tmp_path: Path
) -> None:
    watched(shop, "origin")
    with open_server(ServerSettings(dsn=reader, in_place=True)) as server:
        assert (
            "event triggers that fire for what pgchaos installs: origin_ddl_command_end, origin_sql_drop"
            in server.banner
        )
        assert held(play(server, tmp_path, CHECK)) == ["it runs"]
        version = server.version
    assert seen(shop) == {"origin"}
    if version < 150000:
        return
    setting = "event_triggers" if version >= 170000 else "session_replication_role"
    with psycopg.connect(shop, autocommit=True) as conn:
        conn.execute("TRUNCATE public.seen")
        conn.execute(f"GRANT SET ON PARAMETER {setting} TO reader".encode())
    try:
        with open_server(ServerSettings(dsn=reader, in_place=True)) as server:
            assert server.banner.endswith("(not ours: works in place in database shop)")
            assert held(play(server, tmp_path, CHECK)) == ["it runs"]
        assert seen(shop) == set()
    finally:
        with foreign_server.connect() as conn:
            conn.execute(f"REVOKE SET ON PARAMETER {setting} FROM reader".encode())


def test_an_extension_that_a_file_requires_is_created_as_for_any_user(shop: str, tmp_path: Path) -> None:
    watched(shop, "origin")
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        text = CHECK.replace("-- chaos:check", "-- chaos:requires extension ltree\n-- chaos:check")
        assert held(play(server, tmp_path, text)) == ["it runs"]
    with psycopg.connect(shop) as conn:
        tags = {str(tag) for (tag,) in conn.execute("SELECT DISTINCT tag FROM public.seen")}
    assert {"CREATE EXTENSION", "COMMENT", "DROP EXTENSION"} <= tags
    assert not {"CREATE SCHEMA", "CREATE TABLE", "DROP SCHEMA"} & tags


NAMESAKES = """-- The fault is delivered to those of the run
-- chaos:setup
CREATE TABLE seat (id int);
-- chaos:session victim x 2 allow admin_shutdown query_canceled
-- chaos:wait for locked
INSERT INTO seat VALUES (:worker);
-- chaos:session operator
BEGIN;
LOCK TABLE seat;
-- chaos:signal locked
-- chaos:wait blocked victim
SELECT chaos.assert(chaos.is_blocked('victim'), 'both wait');
SELECT chaos.assert(chaos.terminate('victim', 2) = 1, 'one was terminated');
SELECT chaos.assert(chaos.cancel('victim') = 1, 'and the other cancelled');
-- chaos:expect CH004
SELECT chaos.terminate('victim', 7);
COMMIT;
-- chaos:check
SELECT results_eq('SELECT worker, sqlstate FROM chaos.history WHERE session = ''victim'' ORDER BY worker',
    $$VALUES (1, '57014'), (2, '57P01')$$, 'each got its own');
"""


def test_sessions_of_others_get_no_fault_for_their_name(shop: str, tmp_path: Path) -> None:
    others = [
        psycopg.connect(make_conninfo(shop, application_name=f"victim[{number}]"), autocommit=True)
        for number in (1, 2, 7)
    ]
    try:
        # cancelled, it would not end before the run has
        others[0].pgconn.send_query(b"SELECT pg_sleep(600)")
        with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
            result = play(server, tmp_path, NAMESAKES)
            reported = ["and the other cancelled", "both wait", "each got its own", "one was terminated"]
            assert sorted(held(result)) == reported
        assert [conn.execute("SELECT 1").fetchone() for conn in others[1:]] == [(1,), (1,)]
        with psycopg.connect(shop) as conn:
            there = "SELECT state FROM pg_stat_activity WHERE pid = %s"
            assert conn.execute(there, [others[0].info.backend_pid]).fetchone() == ("active",)
    finally:
        for conn in others:
            conn.cancel()
            conn.close()


def test_a_session_that_released_its_locks_is_not_found_and_that_is_reported(shop: str, tmp_path: Path) -> None:
    text = """-- One
-- chaos:session victim
SELECT pg_advisory_unlock_all();
-- chaos:signal free
-- chaos:wait for tried
SELECT 1;
-- chaos:session operator
-- chaos:wait for free
SELECT chaos.terminate('victim');
-- chaos:signal tried
-- chaos:check
SELECT pass('checked');
"""
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        (failure,) = play(server, tmp_path, text).failures
    assert "there is no connection victim in database shop" in failure.text
    assert "which DISCARD ALL and pg_advisory_unlock_all() free" in "\n".join((failure.text, *failure.details))


@pytest.mark.parametrize(("fault", "state"), [("cancel", "57014"), ("terminate", "57P01")])
def test_faults_are_delivered_there(shop: str, tmp_path: Path, fault: str, state: str) -> None:
    text = f"""-- One
-- chaos:setup
CREATE TABLE seat (id int PRIMARY KEY);
-- chaos:session holder
BEGIN;
INSERT INTO seat VALUES (1);
-- chaos:signal holds
-- chaos:fault {fault} of victim when blocked
COMMIT;
-- chaos:session victim
-- chaos:wait for holds
-- chaos:expect {state}
INSERT INTO seat VALUES (1);
-- chaos:check
SELECT is(count(*), 1::bigint, 'one came in') FROM seat;
"""
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        assert held(play(server, tmp_path, text)) == ["one came in"]


def test_a_function_of_the_users_hides_no_assertion(shop: str, tmp_path: Path) -> None:
    with psycopg.connect(shop, autocommit=True) as conn:
        conn.execute("CREATE FUNCTION public.ok(boolean, text) RETURNS text LANGUAGE sql AS $$ SELECT 'ok' $$")
    text = "-- One\n-- chaos:check\nSELECT plan(2);\nSELECT pass('beside');\nSELECT ok({}, 'it runs');\n"
    with open_server(ServerSettings(dsn=shop, in_place=True)) as server:
        assert [one.text for one in play(server, tmp_path, text.format("false")).failures] == ["it runs"]
        assert held(play(server, tmp_path, text.format("true"))) == ["beside", "it runs"]
