"""A value that is read together with the text around it is found, with its line and what to write."""

from __future__ import annotations

import pytest

from pgchaos.language.lexemes import Sql
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import scan
from pgchaos.language.substitution import Misread, find_misread


def found(sql: str, **variables: str) -> Misread | None:
    statement = scan(sql, "x.sql")[0]
    assert isinstance(statement, Sql)
    return find_misread(statement.parts, variables)


@pytest.mark.parametrize(
    ("sql", "variables", "message"),
    [
        (
            "UPDATE t SET n = 100 -:delta, m = 1;",
            {"delta": "-5"},
            "the value of delta (-5) makes a comment of the rest of the line: write 100 - :delta or 100 - (:delta)",
        ),
        ("SELECT 100 -:delta;", {"delta": "-5"}, "write 100 - :delta or 100 - (:delta)"),
        ("SELECT :a-:b;", {"a": "6", "b": "-3"}, "write :a - :b or :a - (:b)"),
        ("SELECT :a*:b;", {"a": "6/", "b": "3"}, "the value of a (6/) makes a comment of the rest of the statement"),
        ("SELECT :x + 1;", {"x": "1 -- one"}, "the value of x (1 -- one) makes a comment of the rest of the line"),
        ("SELECT :x + 1;", {"x": "1 /* one"}, "makes a comment of the rest of the statement"),
        ("SELECT :x, 'a';", {"x": "it's"}, "opens a quoted text, which takes in what follows: write :'x'"),
        ('SELECT :x, "a";', {"x": 'a"'}, "opens a quoted text"),
        ("SELECT :x, 'a';", {"x": "$q$"}, "opens a quoted text"),
        ("SELECT E:x, 'a';", {"x": "'b"}, "opens a quoted text"),
        ("SELECT :x;", {"x": ":y + 1"}, ""),
        ("SELECT :x + 1;", {"x": ":y", "y": "1 --"}, "the value of x (1 --) makes a comment of the rest of the line"),
        ("SELECT '%':'x';", {"x": "a"}, "and the text beside it are read as one quoted text: join them by `||`"),
        ('SELECT :"a""b";', {"a": "x"}, "are read as one quoted text"),
    ],
)
def test_what_changes_the_rest_is_found(sql: str, variables: dict[str, str], message: str) -> None:
    misread = found(sql, **variables)
    assert (misread is None) == (not message)
    assert misread is None or message in misread.text


@pytest.mark.parametrize(
    ("sql", "variables"),
    [
        ("SELECT 100 - :delta;", {"delta": "-5"}),
        ("SELECT 100 -(:delta);", {"delta": "-5"}),
        ("SELECT 100 -:delta;", {"delta": "5"}),
        ("SELECT :x\n + 1;", {"x": "1 -- one"}),
        ("SELECT :x;", {"x": "1 -- one"}),
        ("SELECT '%' || :'x', 'y';", {"x": "it's -- /* $$"}),
        ("SELECT E:'x', 'b';", {"x": "a"}),
        ("SELECT N:'x', U&:'x', 'b';", {"x": "a"}),
        ("SELECT 'a', :q, 'b';", {"q": "'it''s', $$b$$, \"c\""}),
        ("CREATE TABLE t:worker (a int);", {"worker": "1"}),
        ("SELECT a$:x, b$c$d;", {"x": "$"}),
        ("SELECT '-':x;", {}),
        ("SELECT :x;", {"x": "1; SELECT 2"}),
    ],
)
def test_what_is_read_as_it_is_written_is_left_alone(sql: str, variables: dict[str, str]) -> None:
    assert found(sql, **variables) is None


def test_the_line_is_that_of_the_variable() -> None:
    misread = found("SELECT 1,\n  2,\n  :x -:delta;", x="1", delta="-5")
    assert misread is not None
    assert misread.place(Place("x.sql", 10)) == Place("x.sql", 12)
