from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgchaos.scenario.items import Form, Parts, Variable
from pgchaos.scenario.lexemes import Command
from pgchaos.scenario.psql import assignment, echoed, evaluate, literal, render, texts, truth, valid_name
from tests.scenario.lexing import found, only

VARIABLES = {"a": "1", "q": "it's", "b": "x\\y", "i": 'a"b', "e": "", "z": ":a", "loop": ":loop", "s": "':a' :a::int"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT :a", "SELECT 1"),
        ("SELECT :none, :'none', :\"none\"", "SELECT :none, :'none', :\"none\""),
        ("SELECT :'q'", "SELECT 'it''s'"),
        ("SELECT :'b'", "SELECT  E'x\\\\y'"),
        ("SELECT :'e'", "SELECT ''"),
        ('SELECT :"i"', 'SELECT "a""b"'),
        ("SELECT :{?a}, :{?none}", "SELECT TRUE, FALSE"),
        ("SELECT :z", "SELECT 1"),
        ("SELECT :'z'", "SELECT ':a'"),
        ("SELECT :loop", "SELECT :loop"),
        ("SELECT :s", "SELECT ':a' 1::int"),
        ("SELECT ':a'", "SELECT ':a'"),
    ],
)
def test_variables_in_statements(text: str, expected: str) -> None:
    assert render(only(f"{text};").parts, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT :a", ["SELECT 1"]),
        (":two", ["SELECT 1", "SELECT 'a;b'"]),
        (":two AS x", ["SELECT 1", "SELECT 'a;b' AS x"]),
        ("SELECT :'two'", ["SELECT 'SELECT 1; SELECT ''a;b'''"]),
        (":outer", ["SELECT 1", "SELECT 'a;b'"]),
        (":end", [";"]),
        (r"SELECT 0 \; :two", ["SELECT 0 ; SELECT 1; SELECT 'a;b'"]),
    ],
)
def test_a_semicolon_in_a_value_ends_a_statement(text: str, expected: list[str]) -> None:
    variables = {"a": "1", "two": "SELECT 1; SELECT 'a;b'", "outer": ":two", "end": ";"}
    assert texts(only(f"{text};").parts, variables) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"\set x a :a 'b c'", ("x", "a", "1", "b c")),
        (r"\set x :z :loop", ("x", ":a", ":loop")),
        (r"\set x :none :e", ("x", ":none", "")),
        (r"""\set x :'q' :"i" :{?none}""", ("x", "'it''s'", '"a""b"', "FALSE")),
    ],
)
def test_variables_in_arguments_are_not_looked_into(text: str, words: tuple[str, ...]) -> None:
    (command,) = found(Command, text)
    assert evaluate(command.args, VARIABLES) == words


def test_set_joins_its_arguments() -> None:
    assert assignment(("x", "a", "1", "b c")) == ("x", "a1b c")
    assert assignment(("x",)) == ("x", "")


@pytest.mark.parametrize("words", [("a-b", "1"), ("", "1"), ("--",), ('"a"', "1"), ()])
def test_set_refuses_a_name_in_psqls_words(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"invalid variable name: "):
        assignment(words)


def test_names_of_variables() -> None:
    assert [valid_name(name) for name in ("a_1", "é", "1", "", "a b", "a\n", "a$")] == [True, True, True] + [False] * 4


def test_what_echo_writes() -> None:
    assert echoed(("a", "b  c")) == "a b  c\n"
    assert echoed(("-n", "a", "-n")) == "a -n"
    assert echoed(()) == "\n"


TRUE = ["1", "t", "tr", "true", "TRUE", "y", "yes", "on", "On"]
FALSE = ["0", "f", "false", "n", "no", "of", "off", "OFF"]
NEITHER = ["", "o", "2", "truely", "-1", "01", " 1", "onn", "null", "yess"]


@pytest.mark.parametrize(
    ("value", "expected"), [*((v, True) for v in TRUE), *((v, False) for v in FALSE), *((v, None) for v in NEITHER)]
)
def test_booleans(value: str, expected: bool | None) -> None:
    assert truth(value) is expected


@given(st.text(st.characters(exclude_characters="\r")))
def test_a_literal_scans_as_one_quoted_string(value: str) -> None:
    assert only(f"SELECT {literal(value)}\n;").parts == ((f"SELECT {literal(value)}"),)


@given(st.text(st.characters(exclude_characters="\r")))
def test_a_quoted_identifier_scans_as_one(value: str) -> None:
    parts: Parts = ("SELECT ", Variable("v", Form.IDENTIFIER, ':"v"'))
    text = render(parts, {"v": value})
    assert only(f"{text}\n;").text == text


@given(st.lists(st.sampled_from([":a", ":b", ":'a'", "'", '"', "$$", "::", ":", " ", "--", "\n", "/*", "E'\\", "x"])))
def test_any_value_can_be_put_in(pieces: list[str]) -> None:
    value = "".join(pieces)
    rendered = render((Variable("v", Form.PLAIN, ":v"),), {"v": value, "a": value, "b": "2"})
    assert (rendered == value) or ":" in value
