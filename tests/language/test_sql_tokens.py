"""Tokens of SQL, statements as tokens, and the functions that they call."""

from __future__ import annotations

import itertools

import pytest

from pgchaos.language.assertion_functions import called_functions, own_functions, pgtap_calls
from pgchaos.language.sql_tokens import all_statements, function_calls, open_parenthesis, tokenize, top_statements
from tests.language.scanning import only


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("SELECT a.b", ["word select", "word a", "symbol .", "word b"]),
        ('"A ""b""" u&"c"', ['name A "b"', "name c"]),
        (r"""U&"\0069\+000073\\" U&"!006Fk" UESCAPE '!'""", ["name is\\", "name ok", "word uescape", "string !"]),
        ("'it''s' E'it\\'s' $x$ $y$ $x$", ["string it's", "string it\\'s", "string  $y$ "]),
        (
            "1 1.5 1e10 1ok 1..2",
            ["number 1", "number 1.5", "number 1e10", "number 1ok", "number 1", "symbol ..", "number 2"],
        ),
        (":a :'b' x::int", ["variable :a", "variable :'b'", "word x", "symbol ::", "word int"]),
        ("a /* b /* c */ */ -- d", ["word a"]),
        ("x$y$ $1", ["word x$y$", "symbol $", "number 1"]),
        ("a 'not closed", ["word a", "string not closed"]),
        ("a /* not closed", ["word a"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert [f"{token.kind} {token.text}" for token in tokenize(text)] == tokens


def test_tokens_with_their_comments_make_up_the_text() -> None:
    text = "SELECT /* a */ 'b''c', -- d\n $$e$$, u&\"f\", :g;"
    found = tokenize(text, comments=True)
    assert [token.text for token in found if token.kind == "comment"] == ["/* a */", "-- d"]
    between = [text[one.end : following.start] for one, following in itertools.pairwise(found)]
    assert not "".join(between).strip()
    assert [token.line for token in found if token.kind in ("string", "name")] == [0, 1, 1]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT is (count(*), 1)", ["is", "count"]),
        ("SELECT tap.Is(1, 2)", ["tap.is"]),
        ("SELECT 'ok(', \"ok\"(1), $$ok($$ /* ok( */ -- ok(", ["ok"]),
        ("SELECT x$ok(1), 1ok(2)", ["x$ok"]),
        ("INSERT INTO plan (a) VALUES (1)", ["values"]),
        ("INSERT INTO s . plan (a) SELECT ok(1)", ["ok"]),
        ("CREATE TABLE IF NOT EXISTS plan (a int)", []),
        ("CREATE INDEX ON plan (a)", []),
        ("SELECT 1 FROM a JOIN b ON ok(true)", ["ok"]),
        ("WITH ok (a) AS (SELECT 1) SELECT 1", ["as"]),
        ("SELECT :ok (1)", []),
        ("SELECT ok\n (1)", ["ok"]),
    ],
)
def test_the_functions_that_a_statement_may_call(text: str, names: list[str]) -> None:
    calls = function_calls(tokenize(text))
    assert [f"{call.schema}.{call.name}".removeprefix(".") for call in calls] == names


def test_a_function_called_by_a_schema_is_none_of_pgtap() -> None:
    assert pgtap_calls('SELECT ok(true), mine.is(1, 1), "pass"()') == {"ok", "pass"}
    assert pgtap_calls("SELECT 'ok(true)'") == frozenset()
    assert pgtap_calls(r"""SELECT U&"\006fk"(true)""") == {"ok"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT pass('the plan (b) works') /* plan(1) */", {"pass"}),
        ("SELECT 'SELECT plan(' || 1 || ')'", {"plan"}),
        ("DO $$ BEGIN PERFORM tap.Plan(1); q := ' select skip(1)'; EXECUTE q; END $$", {"plan", "skip"}),
    ],
)
def test_all_functions_that_a_statement_may_call(text: str, names: set[str]) -> None:
    assert called_functions(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("CREATE OR REPLACE FUNCTION s.Mine(a int) RETURNS int LANGUAGE sql AS 'SELECT a'", {"mine"}),
        ('CREATE FUNCTION "Ok"() RETURNS text LANGUAGE sql AS $$ SELECT other() $$', {"ok"}),
        ("CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f()", set()),
        ("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE FUNCTION f() …'; END $$", {"p", "f"}),
        ("CREATE FUNCTION {0}() RETURNS text", set()),
    ],
)
def test_the_functions_that_a_file_makes(text: str, names: set[str]) -> None:
    assert own_functions([only(f"{text};")]) == names


def test_statements_and_the_sql_in_their_strings() -> None:
    text = "SELECT 1; ; SELECT throws_ok('SELECT 2');\nDO $$ BEGIN\n EXECUTE 'SELECT 3'; END $$"
    assert [statement.verb for statement in top_statements(text)] == ["select", "select", "do"]
    found = [(statement.verb, statement.in_body) for statement in all_statements(text) if statement.tokens]
    assert found == [
        ("select", False),
        ("select", False),
        ("select", False),
        ("do", False),
        ("begin", True),
        ("execute", True),
        ("select", False),
        ("end", True),
    ]


def test_the_parenthesis_that_is_not_closed() -> None:
    text = "SELECT (1,\n (2,\n ')', 3"
    assert open_parenthesis(text, 7) == 8
    assert open_parenthesis(text, 7, 8) == 7
    assert open_parenthesis("SELECT (1)", 7) is None
