r"""psql's commands in plain pgTAP files: hidden output, connecting again, files of `\copy`, encodings."""

from __future__ import annotations

import pytest

from pgchaos.language.problems import ScenarioError
from tests.engine.playing import Play, held, line, only


def test_hidden_rows_are_not_read(play: Play) -> None:
    result = play(
        r"""BEGIN;
SELECT plan(3);
SELECT 'not ok 7' \g /dev/null
SELECT is(:ROW_COUNT::int, 1, 'ROW_COUNT is of the hidden statement');
\o /dev/null
SELECT 'not ok 8';
COPY (SELECT 'not ok 9') TO STDOUT;
\qecho not ok 10
\echo ok 2 - echoed all the same
\o
SELECT 'ok 3 - shown again';
ROLLBACK;
"""
    )
    assert held(result) == ["ROW_COUNT is of the hidden statement", "echoed all the same", "shown again"]
    assert result.remarks == []


def test_what_a_client_copy_prints_is_read(play: Play) -> None:
    assert held(play("\\echo 1..2\n\\copy (SELECT 'ok 1 - a') to stdout\n\\copy (SELECT 'ok 2 - b') TO PSTDOUT;\n"))
    assert only(play("\\echo 1..1\n\\copy (SELECT 'not ok 1 - a') to stdout\n")).text == "a"


def test_an_assertion_that_is_hidden_is_missed_by_the_plan(play: Play) -> None:
    result = play("SELECT plan(1);\nSELECT pass('a') \\g /dev/null\n")
    assert only(result).text == "planned 1 test, ran 0"
    (remark,) = result.remarks
    assert "\\g /dev/null hides what it prints" in remark


def test_an_error_is_reported_although_output_is_redirected(play: Play) -> None:
    assert "22012" in only(play("SELECT plan(1);\n\\o /dev/null\nSELECT 1 / 0;\n\\o\n")).names
    assert "22012" in only(play("SELECT plan(1);\nSELECT 1 / 0 \\g /dev/null\n")).names


def test_a_new_connection_forgets_what_the_session_had(play: Play) -> None:
    for again in (r"\c", r"\c -", r"\connect :DBNAME", r"\c - - - -", r"\c :db"):
        result = play(
            rf"""SELECT current_database() AS db, pg_backend_pid() AS before \gset
CREATE TABLE stays (n int);
CREATE TEMP TABLE goes (n int);
SET application_name = 'other';
BEGIN;
CREATE TABLE rolled_back (n int);
{again}
SELECT plan(6);
SELECT isnt(pg_backend_pid(), :before, 'another session');
SELECT is(current_database()::text, :'db', 'the same database');
SELECT has_table('stays');
SELECT hasnt_table('goes');
SELECT hasnt_table('rolled_back');
SELECT isnt(current_setting('application_name'), 'other', 'settings are as at the beginning');
SELECT * FROM finish();
"""
        )
        assert len(held(result)) == 6, again


def test_another_database_or_role_is_refused(play: Play) -> None:
    begin = "SELECT plan(1);\nSELECT pass('before');\n"
    assert "\\c postgres: it connects again to DBNAME " in only(play(begin + "\\c postgres\n")).text
    failure = only(play(begin + "\\c - somebody\n"))
    assert "\\c - somebody: it connects again to USER " in failure.text
    assert "SET ROLE" in failure.text
    assert line(failure) == 3


def test_what_is_in_a_branch_not_taken_is_not_done(play: Play) -> None:
    text = "SELECT plan(1);\n\\if 0\n\\c elsewhere\n\\o /dev/null\n\\endif\nSELECT pass('shown');\n"
    assert held(play(text)) == ["shown"]


def test_a_file_that_is_not_there_is_reported_where_its_branch_is_taken(play: Play) -> None:
    for command, reported in (
        ("\\ir none.sql", "\\ir none.sql: cannot be read: there is no such file"),
        ("\\copy t FROM 'none.csv'", "\\copy … FROM 'none.csv': there is no such file"),
    ):
        text = f"SELECT plan(1);\nSELECT pass('here');\n\\if {{}}\n{command}\n\\endif\n"
        assert held(play(text.format("false"))) == ["here"]
        failure = only(play(text.format("true")))
        assert reported in failure.text
        assert line(failure) == 4


def test_what_shows_a_catalog_is_read_over(play: Play) -> None:
    text = "BEGIN;\nSELECT plan(1);\n\\d pg_class\n\\dt+ *\n\\l\n\\timing on\nSELECT pass('after');\nROLLBACK;\n"
    assert held(play(text)) == ["after"]


def test_rows_come_from_a_file(play: Play) -> None:
    (play.folder / "rows.csv").write_text('n,t\n1,one\n2,"two\r\nlines"\n', newline="")
    result = play(
        r"""BEGIN;
SELECT plan(2);
CREATE TEMP TABLE r (n int, t text);
\copy r FROM 'rows.csv' WITH (FORMAT csv, HEADER)
SELECT is(:ROW_COUNT::int, 2, 'rows');
\copy r (n) FROM STDIN
3
\.
SELECT results_eq('SELECT n, t FROM r', $$VALUES (1, 'one'), (2, E'two\r\nlines'), (3, NULL)$$, 'as in the file');
SELECT * FROM finish();
ROLLBACK;
"""
    )
    assert held(result) == ["rows", "as in the file"]


def test_a_file_in_another_encoding(play: Play) -> None:
    path = play.folder / "part.sql"
    path.write_bytes(b"SELECT is('\xe9'::text, U&'\\00E9', 'caf\xe9');\nSELECT is(:'ENCODING'::text, 'LATIN1');\n")
    result = play("SELECT plan(2);\n\\encoding latin-1\n\\ir part.sql\nSELECT * FROM finish();\n")
    assert held(result) == ["café", ""]


def test_variables_of_the_environment(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND_OF_SHOP", "it's ours")
    result = play(
        r"""\set kept before
\getenv kind KIND_OF_SHOP
\getenv kept NOT_SET_ANYWHERE
\setenv KIND_OF_SHOP other
\getenv other KIND_OF_SHOP
\setenv KIND_OF_SHOP
\getenv other KIND_OF_SHOP
SELECT plan(1);
SELECT is(concat_ws('/', :'kind', :'kept', :'other'), 'it''s ours/before/other', 'as in psql');
SELECT * FROM finish();
"""
    )
    assert held(result) == ["as in psql"]
    assert "missing required argument" in only(play("SELECT plan(1);\n\\getenv kind\n")).text


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("\\d nosuch", 'Did not find any relation named "nosuch".'),
        ("\\d+ public.no*;", 'Did not find any relation named "public.no*".'),
        ('\\dS "T"', 'Did not find any relation named ""T"".'),
        ("\\sf nosuch", 'function "nosuch" does not exist, or is not the only one'),
        ("\\sf+ f(text)", 'function "f(text)" does not exist, or is not the only one'),
        ("\\sv t", 'view "t" does not exist, or is not the only one'),
        ("\\sv", "view name is required"),
    ],
)
def test_what_shows_an_object_fails_without_it(play: Play, command: str, said: str) -> None:
    begin = "CREATE TABLE t (n int);\nCREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';\nSELECT plan(1);\n"
    failure = only(play(f"{begin}SELECT pass('a');\n{command}\n"))
    assert said in failure.text
    assert line(failure) == 5
    assert held(play(f"\\set ON_ERROR_STOP 0\n{begin}{command}\nSELECT pass('a');\n")) == ["a"]
    assert held(play(f"{begin}\\if no\n{command}\n\\endif\nSELECT pass('a');\n")) == ["a"]


def test_what_shows_an_object_finds_it(play: Play) -> None:
    result = play(
        r"""CREATE TABLE "T$1" (n int);
CREATE VIEW v AS SELECT 1 AS n;
CREATE FUNCTION f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
\set name v
\d
\d V
\d "T$1"
\d+ public.:name;
\d p?_cl*s
\d "T"*
\d (v|w)
\dS+ pg_catalog.pg_class
\dt nosuch
\df nosuch
\sf f
\sf public.f(integer, text);
\sv+ v
SELECT plan(1);
SELECT pass('a');
"""
    )
    assert held(result) == ["a"]


def test_a_plain_file_of_windows_keeps_its_line_ends_in_quotes(play: Play) -> None:
    text = r"""\set v '; SELECT 1 WHERE false'
CREATE TEMP TABLE t (a text);
COPY t FROM STDIN; -- the data
abc
\.
SELECT plan(6);
SELECT is(length('a
b'), :n, 'in quotes');
SELECT is(length($$a
b$$), :n, 'in dollar quotes');
SELECT is(length(E'a
b'), :n, 'before a variable') :v;
SELECT is(length(attname::text), :n, 'in a name') FROM pg_attribute WHERE attrelid = 'u'::regclass AND attnum = 1;
SELECT is(length(a), 3, 'in data') FROM t;
\if 1
SELECT is(1 -- a comment
, 1, 'in a comment');
\endif
""".replace("SELECT plan", 'CREATE TEMP TABLE u ("a\nb" int);\nSELECT plan')
    names = ["in quotes", "in dollar quotes", "before a variable", "in a name", "in data", "in a comment"]
    for end, length in (("\n", 3), ("\r\n", 4)):
        (play.folder / "part.sql").write_text(text.replace(":n", str(length)), newline=end)
        assert held(play("\\ir part.sql\n")) == names
    (play.folder / "part.sql").write_text("SELECT is(length('a\nb'), 3, 'a scenario');\n", newline="\r\n")
    assert held(play("-- chaos:check\n\\ir part.sql\n")) == ["a scenario"]


@pytest.mark.parametrize("command", ["\\if", "\\if 0\n\\elif"])
def test_a_condition_without_a_boolean_is_false_in_a_plain_file(play: Play, command: str) -> None:
    text = f"SELECT plan(1);\n{command} maybe\nSELECT fail('then');\n\\else\nSELECT pass('else');\n\\endif\n"
    result = play(text)
    assert held(result) == ["else"]
    assert sum('unrecognized value "maybe"' in said for said in result.output) == 1, "it is told"
    assert "Boolean expected" in only(play(f"-- chaos:check\n{text}")).text


@pytest.mark.parametrize(
    "command",
    [
        *("\\ir nosuch.sql", "\\copy t FROM 'nosuch.csv'", "\\getenv x", "\\pset nosuch"),
        *("\\set 'a b' c", "\\set ECHO nosuch"),
    ],
)
def test_a_command_that_fails_is_passed_over_where_the_file_says_so(play: Play, command: str) -> None:
    text = f"SELECT plan(1);\n{command}\nSELECT pass('after');\n"
    result = play(f"\\set ON_ERROR_STOP off\n{text}")
    assert held(result) == ["after"]
    assert sum("scenario.sql:3: " in said and "ON_ERROR_STOP is off" in said for said in result.output) == 1
    stops = f"\\set ON_ERROR_STOP on\n{text}"
    if "nosuch." in command:
        with pytest.raises(ScenarioError, match=r"scenario\.sql:3: .* there is no such file"):
            play(stops)
    else:
        assert line(only(play(stops))) == 3


def test_a_file_that_loses_its_connection_fails_even_where_it_passes_over_errors(play: Play) -> None:
    text = "\\set ON_ERROR_STOP off\nSELECT plan(1);\nSELECT pass('before');\n\\c nosuch\n"
    assert line(only(play(text))) == 4


LENIENT = {
    "data to the end": "SELECT plan(1);\nSELECT pass('a');\nCREATE TEMP TABLE t (n int);\nCOPY t FROM STDIN;\n1\n2\n",
    "data below a command": "SELECT plan(1);\nSELECT pass('a');\nCREATE TABLE t (n int);\n\\copy t from stdin\n1\n",
    "discarded": "SELECT plan(1);\nSELECT fail('b'),\n('c'\n\\r\n\\reset\nSELECT pass('a');\n",
    "gset": "SELECT plan(1);\nSELECT 'a' AS v;\n\\set w x\n\\gset\nSELECT is(:'v'::text, 'a', 'a');\n",
    "gexec": "SELECT plan(1);\nSELECT $$SELECT pass('a')$$;\n\\gexec\n",
    "hidden": "SELECT plan(1);\nSELECT pass('a');\n\\g /dev/null\n",
}


@pytest.mark.parametrize("text", LENIENT.values(), ids=LENIENT.keys())
def test_what_psql_accepts_passes_in_a_plain_file_only(play: Play, text: str) -> None:
    assert held(play(text)) == ["a"]
    with pytest.raises(ScenarioError):
        play(f"-- chaos:check\n{text}")


def test_a_statement_that_is_sent_again_prints_again(play: Play) -> None:
    assert held(play("SELECT plan(2);\nSELECT pass('a');\n\\g\n")) == ["a", "a"]
    assert only(play("SELECT plan(1);\nSELECT pass('a');\n\\g\n")).text == "planned 1 test, ran 2"


@pytest.mark.parametrize("between", ["\\if 1\n\\endif", "\\ir part.sql", "COPY t FROM STDIN;\n\\.", "SELECT :v;"])
def test_a_statement_that_is_not_known_is_not_sent_again(play: Play, between: str) -> None:
    (play.folder / "part.sql").write_text("SELECT 1;\n")
    with pytest.raises(ScenarioError, match="with nothing before it"):
        play(f"SELECT plan(1);\nSELECT pass('a');\n{between}\n\\g\n")


def test_a_plain_file_includes_what_a_variable_of_any_line_names(play: Play) -> None:
    (play.folder / "sub").mkdir()
    (play.folder / "sub" / "part.sql").write_text("SELECT pass('part');\n")
    text = (
        "SELECT plan(2);\n\\set d nosuch\n\\set d sub\nSELECT 1 AS e \\gset\n\\ir :d/part.sql\nSELECT pass('rest');\n"
    )
    assert held(play(text)) == ["part", "rest"]
    with pytest.raises(ScenarioError):
        play(f"-- chaos:check\n{text}")


@pytest.mark.parametrize(
    "again",
    [
        *("\\if 1\n\\set d sub\n\\endif", "\\getenv d HOME", "SELECT 'sub' AS d \\gset"),
        *("SELECT * FROM pg_class LIMIT 1 \\gset", "TABLE pg_class \\gset", "SELECT 1 AS x \\gset\n\\set d :x"),
    ],
)
def test_a_variable_that_may_have_another_value_names_no_file(play: Play, again: str) -> None:
    (play.folder / "part.sql").write_text("SELECT pass('part');\n")
    with pytest.raises(ScenarioError, match="d is set again in line"):
        play(f"SELECT plan(1);\n\\set d .\n{again}\n\\ir :d/part.sql\n")


def test_an_unknown_command_is_passed_over_where_the_file_says_so(play: Play) -> None:
    text = "SELECT plan(1);\nSELECT pass(\n\\nosuch a 'b\n'after');\n"
    result = play(f"\\set ON_ERROR_STOP off\n{text}")
    assert held(result) == ["after"]
    assert sum("scenario.sql:4: \\nosuch is not supported" in said for said in result.output) == 1
    failure = only(play(f"\\set ON_ERROR_STOP off\n\\set ON_ERROR_STOP on\n{text}"))
    assert (line(failure), "\\nosuch is not supported" in failure.text) == (5, True)
    with pytest.raises(ScenarioError, match="nosuch is not supported"):
        play(text)
    with pytest.raises(ScenarioError, match="no shell command is run"):
        play("\\set ON_ERROR_STOP off\nSELECT plan(1);\n\\! true\nSELECT pass('a');\n")
