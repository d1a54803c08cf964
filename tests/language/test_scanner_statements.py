"""Where statements end, and what a scan finds in them."""

from __future__ import annotations

import pytest

from pgchaos.language.lexemes import Comment, Sql
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_items import Form, Send, Variable
from tests.language.scanning import found, mistakes, only, statements, written

ONE_STATEMENT = [
    pytest.param("SELECT ';'", id="quoted"),
    pytest.param("SELECT 'it''s; one'", id="doubled quote"),
    pytest.param("SELECT 'over\nlines; --\n'", id="over lines"),
    pytest.param(r"SELECT 'a\' || ';'", id="backslash is nothing in a plain quote"),
    pytest.param(r"SELECT E'a\';b'", id="backslash in E"),
    pytest.param(r"SELECT E'a\\' || ';'", id="escaped backslash in E"),
    pytest.param(r"SELECT e'a\';b'", id="backslash in e"),
    pytest.param(r"SELECT E'a'';\';'", id="doubled quote in E"),
    pytest.param(r"SELECT some_e'a\' || ';'", id="an identifier that ends in e is no E"),
    pytest.param(r"SELECT U&'\'||';'", id="U& knows no backslash quote"),
    pytest.param("SELECT B'1;', X'F;', N'a;b'", id="other prefixes"),
    pytest.param('SELECT "a;""b"', id="identifier"),
    pytest.param('SELECT U&"a;b"', id="unicode identifier"),
    pytest.param("SELECT $$ ; ' $$", id="dollars"),
    pytest.param("SELECT $a$ ; $b$ ; $$ ; $a$", id="other tags inside"),
    pytest.param("SELECT $é1$ ; $é1$", id="tag with letters of other alphabets"),
    pytest.param("SELECT $a$ $junk$a$", id="the closing tag shares its dollar with junk"),
    pytest.param("SELECT 1$a$;$a$", id="a number is no identifier"),
    pytest.param("SELECT $1$a$;$a$", id="a parameter is no identifier"),
    pytest.param("SELECT 1 /* ; */", id="block comment"),
    pytest.param("SELECT 1 /* ; /* ; */ ; */ + 1", id="nested block comment"),
    pytest.param("SELECT 1 +/* ; */ 1", id="comment after an operator"),
    pytest.param("SELECT 1 -- ;\n + 1", id="line comment"),
    pytest.param("SELECT 1 --';\n + 1", id="quote in a line comment"),
    pytest.param("SELECT 4 - -2, 4-2, 4/2, 4*/* ; */2", id="operators made of comment characters"),
    pytest.param("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT (2); SELECT 3)", id="parentheses"),
    pytest.param("SELECT 1)", id="a closing parenthesis too many"),
    pytest.param(
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
        id="BEGIN ATOMIC with CASE",
    ),
    pytest.param("create or replace procedure p(a int) begin atomic select 1; end", id="lower case procedure"),
    pytest.param("CREATE /* ; */ FUNCTION f() BEGIN ATOMIC BEGIN; END; END", id="nested BEGIN, comment in the head"),
    pytest.param('CREATE FUNCTION f("begin" int) RETURNS int AS $$;$$ LANGUAGE sql', id="begin in quotes"),
    pytest.param("CREATE FUNCTION s.case(a int) RETURNS int AS $$;$$", id="case outside a body"),
    pytest.param("CREATE FUNCTION f(begin int DEFAULT (1)) RETURNS int AS $$;$$", id="begin in parentheses"),
    pytest.param("CREATE FUNCTION f() BEGIN ATOMIC " + "SELECT 1; " * 200 + "END", id="long body"),
]


@pytest.mark.parametrize("text", ONE_STATEMENT)
def test_one_statement_ends_at_its_own_semicolon(text: str) -> None:
    assert statements(f"{text}; SELECT 'next';") == [text, "SELECT 'next'"]
    assert mistakes(f"{text}; SELECT 'next';") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (";;  ;", []),
        ("/* only */ ;", []),
        ("\\;", []),
        ("SELECT 1;; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT a$b$; SELECT $b$;$b$;", ["SELECT a$b$", "SELECT $b$;$b$"]),
        ("BEGIN; SELECT 1; END;", ["BEGIN", "SELECT 1", "END"]),
        ("CREATE TABLE begin_t (a int); SELECT 1;", ["CREATE TABLE begin_t (a int)", "SELECT 1"]),
        ("CREATE VIEW v AS SELECT 1 AS begin; SELECT 1;", ["CREATE VIEW v AS SELECT 1 AS begin", "SELECT 1"]),
        ("SELECT 1 \\; SELECT 2;SELECT 3;", ["SELECT 1 ; SELECT 2", "SELECT 3"]),
        ("SELECT 1 \\; CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END;", None),
        ("SELECT (1 \\g\nSELECT 2;", ["SELECT (1", "SELECT 2"]),
        ("SELECT E'a'\n'b\\'; SELECT 2;", ["SELECT E'a'\n'b\\'", "SELECT 2"]),
    ],
)
def test_where_statements_end(text: str, expected: list[str] | None) -> None:
    assert statements(text) == ([text[:-1].replace("\\;", ";")] if expected is None else expected)


def test_a_statement_has_its_line_its_verb_and_no_white_space_around_it() -> None:
    text = "\n-- c\n/* lead\n*/  select\n 1  \n ;\n ( SELECT 2 ) ;"
    assert [(s.place, s.verb, s.text) for s in found(Sql, text)] == [
        (Place("x.sql", 4), "SELECT", "select\n 1"),
        (Place("x.sql", 7), "", "( SELECT 2 )"),
    ]


def test_white_space_of_other_alphabets_is_part_of_a_name_as_in_psql() -> None:
    assert statements("SELECT 1 AS a\u00a0 ;\u2003x;") == ["SELECT 1 AS a\u00a0", "\u2003x"]


def test_a_comment_within_a_statement_is_sent_with_it() -> None:
    assert only("SELECT /* a */ 1 \n;").text == "SELECT /* a */ 1"
    assert statements("SELECT 1 -- last\n;") == ["SELECT 1 -- last"]


@pytest.mark.parametrize(
    ("text", "send", "prefix"),
    [
        ("SELECT 1;", Send.PLAIN, ()),
        ("SELECT 1 \\g", Send.PLAIN, ()),
        ("SELECT 1\\g\n", Send.PLAIN, ()),
        ("SELECT 1 \\gset", Send.GSET, ()),
        ("SELECT 1 \\gset p_\n", Send.GSET, ("p_",)),
        ("SELECT 1 \\gset 'p'_:v", Send.GSET, ("p_", Variable("v", Form.PLAIN, ":v"))),
        ("SELECT 1 \\gexec", Send.GEXEC, ()),
    ],
)
def test_terminators(text: str, send: Send, prefix: tuple[str | Variable, ...]) -> None:
    sql = only(text)
    assert (sql.text, sql.send, sql.prefix, sql.finished) == ("SELECT 1", send, prefix, True)


def test_what_follows_a_terminator_on_its_line() -> None:
    assert statements("SELECT 1 \\gset p \\\\ SELECT 2; SELECT 3 \\g \\\\ SELECT 4;") == [
        "SELECT 1",
        "SELECT 2",
        "SELECT 3",
        "SELECT 4",
    ]


def test_a_statement_without_terminator_is_not_finished() -> None:
    assert [s.finished for s in found(Sql, "SELECT 1;\nSELECT 2 -- ;\n")] == [True, False]
    assert only("SELECT (1;").finished is False


def test_variables_as_psql_finds_them() -> None:
    sql = only("SELECT :a, :'b', :\"c\", :{?d}, :é_1, a[1:n], :::e;")
    assert [part for part in sql.parts if isinstance(part, Variable)] == [
        Variable("a", Form.PLAIN, ":a"),
        Variable("b", Form.LITERAL, ":'b'"),
        Variable("c", Form.IDENTIFIER, ':"c"'),
        Variable("d", Form.TEST, ":{?d}"),
        Variable("é_1", Form.PLAIN, ":é_1"),
        Variable("n", Form.PLAIN, ":n"),
        Variable("e", Form.PLAIN, ":e"),
    ]
    assert written(sql.parts) == sql.text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1::int",
        "SELECT f(a := 1)",
        "SELECT ':a', \":a\", $$:a$$, E':a'",
        "SELECT 1 /* :a */",
        "SELECT 1 -- :a",
        "SELECT a[1 : 2 + 1]",
        "SELECT : a",
        "SELECT :{a}, :{?a, :' a', :\"a b\"",
    ],
)
def test_what_is_no_variable(text: str) -> None:
    assert only(f"{text}\n;").parts == (text,)


def test_an_escaped_colon_or_semicolon_loses_its_backslash() -> None:
    sql = only("SELECT \\:a, :b \\; SELECT 2;")
    assert sql.text == "SELECT :a, :b ; SELECT 2"
    assert sql.parts == ("SELECT :a, ", Variable("b", Form.PLAIN, ":b"), " ; SELECT 2")


@pytest.mark.parametrize(
    ("text", "slices"),
    [
        ("SELECT a[1:n]", {"n"}),
        ("SELECT a[b:n], a[f(1):m], a[b[1]:o]", {"n", "m", "o"}),
        ("SELECT a[x::int:n]", {"n"}),
        ("SELECT a[:n]", set()),
        ("SELECT ARRAY[1, :n, 2 + :m]", set()),
        ("SELECT ARRAY[CASE WHEN a THEN :n END]", set()),
        ("SELECT '[1:n]', b:n", set()),
    ],
)
def test_names_in_slices(text: str, slices: set[str]) -> None:
    assert only(f"{text};").slice_variables == slices


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("DO $$ BEGIN PERFORM :a, :'b', :\"c\", :{?d}; END $$", {"a", "b", "c", "d"}),
        ("SELECT $x$ :a $x$, $$ :b $$", {"a", "b"}),
        ("DO $$ BEGIN x := 1::int; -- :a\n /* :b */ END $$", set()),
        ("SELECT ':a'", set()),
    ],
)
def test_names_in_dollar_quotes(text: str, quoted: set[str]) -> None:
    assert only(f"{text};").dollar_variables == quoted


def test_comments_inside_a_statement_follow_it() -> None:
    text = "-- head\nSELECT 1; -- behind\n  -- alone\nSELECT\n-- in\n 2 -- too\n;\n/* x */ -- last"
    inside = Place("x.sql", 4)
    assert found(Comment, text) == [
        Comment(Place("x.sql", 1), "-- head", None, True),
        Comment(Place("x.sql", 2), "-- behind", None, False),
        Comment(Place("x.sql", 3), "-- alone", None, True),
        Comment(Place("x.sql", 5), "-- in", inside, True),
        Comment(Place("x.sql", 6), "-- too", inside, False),
        Comment(Place("x.sql", 8), "-- last", None, False),
    ]


def test_a_comment_in_quotes_or_comments_is_nothing() -> None:
    text = "SELECT '\n-- a\n', $$\n-- b\n$$, \"\n-- c\n\" /*\n-- d\n*/; /*\n-- e\n*/"
    assert found(Comment, text) == []


def test_windows_files_and_byte_order_marks_read_like_any_other() -> None:
    text = "-- c\nSELECT 'a\nb';\n\\echo x\nCOPY t FROM STDIN;\n1\n\\.\nSELECT 2;\n"
    windows = "\ufeff" + text.replace("\n", "\r\n")
    assert scan(windows, "x.sql") == scan(text, "x.sql")
    kept = scan(windows, "x.sql", keeps_crlf=True)
    assert [lexeme.place for lexeme in kept] == [lexeme.place for lexeme in scan(text, "x.sql")]
    assert [(sql.text, sql.copy) for sql in kept if isinstance(sql, Sql)] == [
        ("SELECT 'a\r\nb'", None),
        ("COPY t FROM STDIN", "1\r\n"),
        ("SELECT 2", None),
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("SELECT 1;\nSELECT 'a\n;\n", "2: unterminated quoted string: the closing ' is missing"),
        ("SELECT\n E'a\\';\n", "2: unterminated quoted string: the closing ' is missing"),
        ('SELECT\n "a;\n', '2: unterminated quoted identifier: the closing " is missing'),
        ("SELECT\n\n$a$ $$;\n", "3: unterminated dollar-quoted string: the closing $a$ is missing"),
        ("SELECT 1;\n/* /* */\n", "2: unterminated block comment: */ is missing (block comments nest)"),
        ("SELECT 1 +\n/* ;\n", "2: unterminated block comment: */ is missing (block comments nest)"),
    ],
)
def test_what_is_not_closed_is_reported_once_where_it_opens(text: str, mistake: str) -> None:
    assert mistakes(text) == [mistake]
    assert all(sql.finished for sql in found(Sql, text))
