r"""Variables of psql in statements and arguments, and the effects of \set and \echo."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgchaos.language.lexemes import Command
from pgchaos.language.section_items import Form, Parts, Variable
from pgchaos.language.substitution import (
    LONGEST,
    TooLong,
    assignment,
    echo_text,
    evaluate,
    find_misread,
    literal,
    render,
    render_to_send,
    render_words,
    valid_name,
)
from tests.language.scanning import found, only

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
    assert render_to_send(only(f"{text};").parts, variables) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"\set x a :a 'b c'", ("x", "a", "1", "b c")),
        (r"\set x :z :loop", ("x", ":a", ":loop")),
        (r"\set x :none :e", ("x", ":none", "")),
        (r"""\set x :'q' :"i" :{?none}""", ("x", "'it''s'", '"a""b"', "FALSE")),
    ],
)
def test_variables_in_values_of_arguments_stay(text: str, words: tuple[str, ...]) -> None:
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
    assert echo_text(("a", "b  c")) == "a b  c\n"
    assert echo_text(("-n", "a", "-n")) == "a -n"
    assert echo_text(()) == "\n"


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


@given(
    st.lists(st.one_of(st.sampled_from(["a", ":'b", '"', "$$", ";", "--"]), st.sampled_from(Form))),
    st.dictionaries(st.sampled_from("ab"), st.one_of(st.from_regex(r"\w*"), st.text(max_size=3))),
)
def test_words_are_put_in_as_any_value_is(pieces: list[str | Form], variables: dict[str, str]) -> None:
    """The short way, where it is taken, gives what the long one gives."""
    names = itertools.cycle("abc")
    parts = tuple(one if isinstance(one, str) else Variable(next(names), one, ":x") for one in pieces)
    short = render_words(parts, variables)
    assert short is None or ([short] == render_to_send(parts, variables) and find_misread(parts, variables) is None)


def test_what_are_no_words_is_evaluated() -> None:
    parts = only("SELECT :a, :b;").parts
    assert render_words(parts, {"a": "é1", "b": "2"}) == "SELECT é1, 2"
    for value in ("", "-1", "a b", ":a", ";", "'a'", "1.5"):
        assert render_words(parts, {"a": "1", "b": value}) is None
    assert render_words(parts, {"a": "1"}) is None


# variables in one another


def doubled(levels: int, last: str) -> dict[str, str]:
    """Each holds the next twice."""
    return {**{f"v{n}": f":v{n + 1}:v{n + 1}" for n in range(levels)}, f"v{levels}": last}


V0 = (Variable("v0", Form.PLAIN, ":v0"),)


def test_variables_in_one_another_at_any_depth() -> None:
    chain = {**{f"v{n}": f" :v{n + 1}" for n in range(20_000)}, "v20000": "end"}
    assert render(V0, chain) == " " * 20_000 + "end"
    assert render(V0, {"v0": "a :v1", "v1": "b :v0"}) == "a b :v0"


@pytest.mark.parametrize("last", ["", "x", ":v0"])
def test_values_that_double_with_each_variable_are_refused(last: str) -> None:
    assert render(V0, doubled(10, "x")) == "x" * 1024
    with pytest.raises(TooLong, match=r"^the variable v0 expands to more than 200,000 texts and variables"):
        render(V0, doubled(40, last))
    with pytest.raises(TooLong, match=r"^the variable v0 expands to more than 200,000"):
        render_to_send((*V0, ";"), doubled(40, last))


def test_a_text_that_variables_make_too_long_is_refused() -> None:
    variables = {"a": "x" * (LONGEST // 4), "b": ":a"}
    a, b = (Variable(name, Form.PLAIN, f":{name}") for name in "ab")
    assert len(render((a, a, b, b), variables)) == LONGEST
    for name, parts in {"a": (a,) * 5, "b": (a, a, a, a, b)}.items():
        with pytest.raises(TooLong, match=rf"^the variable {name} expands to a text of more than 64,000,000"):
            render(parts, variables)
    with pytest.raises(TooLong, match=r"^the variable a expands to a text of more"):
        evaluate(((a,) * 5,), variables)


def test_escapes_in_a_value_take_little_memory() -> None:
    value = "E'" + "\\n" * 100_000 + "' :v"
    tracemalloc.start()
    try:
        assert render((Variable("w", Form.PLAIN, ":w"),), {"w": value, "v": "1"}) == value.replace(":v", "1")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(value)
