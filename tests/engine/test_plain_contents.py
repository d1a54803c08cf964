"""The database of a plain pgTAP file has the same contents as under pg_prove: pgTAP, and nothing else of ours."""

from __future__ import annotations

import pytest

from pgchaos.language.plain_files import Contents, connects_again, contents_for
from pgchaos.language.reader import read
from pgchaos.server import Server
from tests.engine.playing import Play, held

OWN = """
    CREATE FUNCTION plan(integer) RETURNS text LANGUAGE sql AS $$ SELECT '1..' || $1 $$;
    CREATE OR REPLACE FUNCTION public.ok(boolean, text) RETURNS text LANGUAGE sql AS
        $$ SELECT CASE WHEN $1 THEN 'ok 1 - ' ELSE 'not ok 1 - ' END || $2 $$;
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT plan(1); SELECT ok(true);", Contents.PGTAP),
        ("CREATE EXTENSION pgtap; SELECT plan(1);", Contents.NOTHING),
        ('create extension "pgtap" WITH SCHEMA public; SELECT plan(1);', Contents.NOTHING),
        ("CREATE EXTENSION IF NOT EXISTS pgtap; SELECT plan(1);", Contents.PGTAP),
        ("CREATE EXTENSION IF NOT EXISTS pgtap WITH SCHEMA tap; SELECT plan(1);", Contents.NOTHING),
        ("CREATE EXTENSION IF NOT EXISTS pgtap VERSION '1.3.5'; SELECT plan(1);", Contents.NOTHING),
        ("SELECT plan(1); SELECT pass('CREATE EXTENSIONS pgtap');", Contents.PGTAP),
        ("DROP EXTENSION pgtap; CREATE EXTENSION pgtap; SELECT plan(1);", Contents.PGTAP),
        ("DROP EXTENSION IF EXISTS pgtap; CREATE EXTENSION pgtap; SELECT plan(1);", Contents.NOTHING),
        ("CREATE EXTENSION pgtap; SELECT plan(1); DROP EXTENSION pgtap;", Contents.NOTHING),
        (OWN + "SELECT plan(1); SELECT ok(true, 'like is() of pgTAP');", Contents.NOTHING),
        (OWN + "SELECT plan(1); SELECT is(1, 1);", Contents.PGTAP),
        (
            "CREATE FUNCTION ok(text) RETURNS text LANGUAGE sql AS $$ SELECT ok(true, $1) $$; SELECT plan(1);",
            Contents.PGTAP,
        ),
        ("SELECT plan(1); SELECT chaos.no_leaks();", Contents.TOOLKIT),
        ("SELECT plan(1); SET search_path = public, chaos;", Contents.TOOLKIT),
        ("SELECT plan(1); SELECT count(*) FROM pg_proc WHERE pronamespace = 'chaos'::regnamespace;", Contents.TOOLKIT),
        ("SELECT plan(1); SELECT is(to_regnamespace('chaos'), NULL);", Contents.PGTAP),
        ("SELECT plan(1); SELECT pass('chaos reigns');", Contents.PGTAP),
        ("CREATE EXTENSION pgchaos; SELECT plan(1); SELECT chaos.no_leaks();", Contents.PGTAP),
    ],
)
def test_what_is_there_follows_from_the_file(play: Play, text: str, expected: Contents) -> None:
    path = play.folder / "plain.sql"
    path.write_text(text)
    scenario = read(path)
    assert scenario.plain
    assert contents_for(scenario.statements()) is expected


@pytest.fixture
def offers(server: Server) -> None:
    """The server has pgTAP as an extension; from a file it comes as functions."""
    with server.connect() as conn:
        if conn.execute("SELECT FROM pg_available_extensions WHERE name = 'pgtap'").fetchone() is None:
            pytest.skip("needs the extension pgTAP on the server")


@pytest.mark.usefixtures("offers")
@pytest.mark.parametrize("begin", ["", "BEGIN; "])
def test_pgtap_may_be_dropped_and_created_again(play: Play, begin: str) -> None:
    text = f"{begin}DROP EXTENSION pgtap;\nCREATE EXTENSION pgtap;\nSELECT plan(1);\nSELECT pass('a');"
    assert held(play(text)) == ["a"]


@pytest.mark.usefixtures("offers")
def test_nothing_of_ours_is_seen(play: Play) -> None:
    assert held(
        play("""
        SELECT plan(4);
        SELECT schemas_are(ARRAY['public']);
        SELECT extensions_are(ARRAY['plpgsql', 'pgtap']);
        SELECT tables_are('public', '{}'::name[]);
        SELECT is(current_setting('search_path'), '"$user", public', 'the path is the default');
        SELECT * FROM finish();
        """)
    ) == [
        "There should be the correct schemas",
        "Should have the correct extensions",
        "Schema public should have the correct tables",
        "the path is the default",
    ]


@pytest.mark.usefixtures("offers")
def test_a_file_may_create_pgtap_where_it_likes(play: Play) -> None:
    for statement in ("CREATE EXTENSION pgtap", "CREATE SCHEMA tap; CREATE EXTENSION IF NOT EXISTS pgtap SCHEMA tap"):
        assert held(
            play(f"""
            {statement};
            SET search_path = public, tap;
            BEGIN;
            SELECT plan(1);
            SELECT pass('it works');
            SELECT * FROM finish();
            ROLLBACK;
            """)
        ) == ["it works"]


def test_a_file_may_bring_pgtap_functions_of_its_own(play: Play) -> None:
    for _ in range(2):  # the second in the database of the first, where these were rolled back
        assert held(play(f"BEGIN; {OWN} SELECT plan(1); SELECT ok(true, 'by its own ok()'); ROLLBACK;")) == [
            "by its own ok()"
        ]


def test_a_plain_file_has_the_toolkit_where_it_uses_it(play: Play) -> None:
    assert held(
        play("""
        SELECT plan(1);
        SELECT is(chaos.worker(), NULL, 'outside a session there is no worker');
        SELECT * FROM finish();
        """)
    ) == ["outside a session there is no worker"]


def test_a_word_of_the_tables_that_record_a_run_asks_for_nothing(play: Play) -> None:
    text = (
        "BEGIN; CREATE TABLE history (); SELECT plan(1); SELECT has_table('history'); SELECT * FROM finish(); ROLLBACK;"
    )
    assert held(play(text)) == ["Table history should exist"]


@pytest.mark.parametrize(
    ("text", "again"), [("\\c -\n", True), ("\\if false\n\\connect\n\\endif\n", True), ("", False)]
)
def test_a_file_that_connects_again_is_not_watched_on_one_connection(play: Play, text: str, again: bool) -> None:
    path = play.folder / "plain.sql"
    path.write_text("SELECT plan(1);\n" + text)
    assert connects_again(read(path)) is again
