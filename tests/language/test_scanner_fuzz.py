"""What holds of a scan whatever the text: it raises nothing, keeps the order, and loses nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgchaos.language.lexemes import Command, Comment, Lexeme, Mistake, Sql
from pgchaos.language.meta_commands import LOOKUPS, PRINTING
from pgchaos.language.psql_scanner import scan
from pgchaos.server.binaries import embedded_bindir
from tests.language.scanning import found, statements, written
from tests.language.test_scanner_against_psql import FRAGMENTS, TRAPS
from tests.language.test_scanner_statements import ONE_STATEMENT

SHARE = embedded_bindir().parent / "share"
REAL = [TRAPS, (SHARE / "system_functions.sql").read_text(), (SHARE / "information_schema.sql").read_text()]
WHOLE = [str(case.values[0]) for case in ONE_STATEMENT]
ODD = [
    *FRAGMENTS,
    "COPY t FROM STDIN;\n",
    "\\.\n",
    "\\",
    "`",
    "\\gset",
    "\\if",
    "\r\n",
    "\0",
    "\ufeff",
    "\ud800",
    "-- chaos:x",
]
PLAIN = [fragment for fragment in FRAGMENTS if "\\" not in fragment and "/" not in fragment and "*" not in fragment]
PLAIN_CHARACTERS = st.characters(exclude_characters="\\/\ufeff")

texts = st.one_of(st.text(), st.lists(st.sampled_from(ODD)).map("".join))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Take some lines of a real file, and cut, double, swap or spoil pieces of it."""
    lines = draw(st.sampled_from(REAL)).splitlines(keepends=True)
    start = draw(st.integers(0, len(lines) - 1))
    text = "".join(lines[start : start + draw(st.integers(1, 40))])
    for _ in range(draw(st.integers(1, 4))):
        first, last = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        middle = text[first:last]
        text = text[:first] + draw(st.sampled_from(["", middle * 2, middle[::-1], *ODD])) + text[last:]
    return text


def check(text: str) -> list[Lexeme]:
    """Scan, and see to what must hold of every scan."""
    lexemes = scan(text, "x.sql")
    # psql runs these at once, before the statement that they are in
    at_once = {id(one) for one in lexemes if isinstance(one, Command) and one.name in PRINTING | LOOKUPS}
    lines = [lexeme.place.line for lexeme in lexemes if id(lexeme) not in at_once]
    assert lines == sorted(lines)
    assert all(1 <= lexeme.place.line <= text.count("\n") + 1 for lexeme in lexemes)
    read = text.replace("\r\n", "\n")
    for lexeme in lexemes:
        if isinstance(lexeme, Sql):
            assert lexeme.text
            assert written(lexeme.parts) == lexeme.text
        elif isinstance(lexeme, Comment):
            assert lexeme.text in read
    return lexemes


@example("0\n\\x")
@given(texts)
def test_any_text_can_be_scanned(text: str) -> None:
    check(text)
    scan(text, "x.sql", keeps_crlf=True, as_psql=True)


@settings(deadline=None)
@given(mutated())
def test_spoilt_files_can_be_scanned(text: str) -> None:
    check(text)


@given(st.one_of(st.text(PLAIN_CHARACTERS), st.lists(st.sampled_from(PLAIN)).map("".join)))
def test_nothing_is_lost(text: str) -> None:
    # without block comments between statements, psql's own commands and COPY data: they are no lexemes, or change
    lexemes = check(text)
    if any(isinstance(lexeme, Mistake) for lexeme in lexemes):
        return
    texts = [x.text for x in lexemes if isinstance(x, Sql) or (isinstance(x, Comment) and x.inside is None)]
    squeezed = "".join("".join(texts).split()).replace(";", "")
    assert sorted(squeezed) == sorted("".join(text.split()).replace(";", ""))


@given(st.lists(st.tuples(st.sampled_from(WHOLE), st.sampled_from(["", "\n", " -- c\n", "\n/* ; */", ";"]))))
def test_statements_are_found_again(pieces: list[tuple[str, str]]) -> None:
    text = "".join(f"{statement}\n;{behind}" for statement, behind in pieces)
    assert statements(text) == [statement for statement, _ in pieces]


@given(texts)
def test_a_scan_is_the_same_each_time(text: str) -> None:
    assert scan(text, "x.sql") == scan(text, "x.sql")


@pytest.mark.parametrize("path", sorted(SHARE.glob("*.sql")), ids=lambda path: str(path.name))
def test_real_files_hold_no_mistake(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert found(Mistake, text) == []
    assert all(sql.finished and sql.verb for sql in found(Sql, text))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT E'" + "a" * 50_000 + "\\",
        "SELECT E'" + "''" * 50_000,
        "SELECT " + "a.b" * 50_000,
        "SELECT " + "f (" * 30_000,
        "SELECT " + "a$" * 50_000,
        "SELECT " + "[a:b" * 20_000,
        "/*" * 50_000,
        "$a" * 50_000,
        "SELECT 1 -- c\n" * 20_000,
        "CREATE FUNCTION f() BEGIN ATOMIC " + "SELECT 1;" * 20_000,
        "COPY t FROM STDIN;\n1\n\\.\n" * 1_000,
        "SELECT 1 \\; " * 10_000 + ";",
        "\\echo " + "'a" * 20_000,
        ":v" * 50_000 + ";",
    ],
    ids=lambda text: str(text)[:12],
)
def test_no_text_takes_long(text: str) -> None:
    before = time.process_time()
    scan(text, "x.sql")
    # 100,000 characters take 0.1 s at most; what grows with their square takes minutes
    assert time.process_time() - before < 5
