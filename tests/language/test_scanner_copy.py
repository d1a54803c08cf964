"""COPY … FROM STDIN and its data in a scan."""

from __future__ import annotations

import pytest

from pgchaos.language.lexemes import Command, Comment, Sql
from pgchaos.language.psql_scanner import scan
from tests.language.scanning import found, mistakes, statements

DATA = "1;'\t$$ /* :v\n-- chaos:check\n\\echo\n\\N\n\n\\.x\n"


@pytest.mark.parametrize(
    "copy",
    [
        "COPY t FROM STDIN;",
        "copy t (a, b) from stdin WITH (FORMAT csv);",
        "COPY s.t FROM /* ' */ STDIN \\g",
        "COPY BINARY t FROM STDIN;",
        'COPY "from" (a) FROM STDIN;',
        "COPY :t FROM STDIN;",
        "COPY t FROM -- ;\n STDIN;",
        "COPY t FROM STDOUT;",  # the server takes it for STDIN
        "SELECT 1 \\; COPY t FROM STDIN;",
        "COPY (SELECT 1) TO STDOUT \\; COPY t FROM STDIN;",
    ],
)
def test_data_is_taken_as_it_is(copy: str) -> None:
    text = f"{copy}\n{DATA}\\.\nSELECT 2; -- end"
    first, second = found(Sql, text)
    assert (first.copy, second.copy) == (DATA, None)
    assert second.text == "SELECT 2"
    assert second.place.line == text.count("\n") + 1
    assert [comment.text for comment in found(Comment, text) if comment.inside is None] == ["-- end"]
    assert found(Command, text) == []
    assert mistakes(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "COPY t TO STDOUT;",
        "COPY t FROM 'stdin';",
        'COPY t FROM "stdin";',
        "COPY (SELECT a FROM stdin) TO STDOUT;",
        "COPY t FROM PROGRAM 'from stdin';",
        "COPY t TO STDOUT /* FROM STDIN */;",
        "COPY t TO STDOUT -- FROM STDIN\n;",
        "SELECT copy FROM stdin;",
        "SELECT 1 \\; SELECT 1 FROM stdin;",
        "INSERT INTO copy SELECT a FROM stdin;",
    ],
)
def test_what_brings_no_data(text: str) -> None:
    assert [sql.copy for sql in found(Sql, f"{text}\nSELECT 2;")] == [None, None]


def test_the_rest_of_the_line_continues_behind_the_data_as_in_psql() -> None:
    text = "COPY t FROM STDIN; SELECT 'a\n1\n\\.\nb'; SELECT 3;\nSELECT 4;"
    assert [(sql.text, sql.copy, sql.place.line) for sql in found(Sql, text)] == [
        ("COPY t FROM STDIN", "1\n", 1),
        ("SELECT 'a\nb'", None, 1),
        ("SELECT 3", None, 4),
        ("SELECT 4", None, 5),
    ]


def test_two_on_one_line_take_their_data_in_turn() -> None:
    text = "COPY t FROM STDIN; COPY u FROM STDIN;\n1\n\\.\n2\n\\.\nSELECT 1;"
    assert [(sql.copy, sql.place.line) for sql in found(Sql, text)] == [("1\n", 1), ("2\n", 1), (None, 6)]


def test_there_may_be_no_rows_and_no_last_newline() -> None:
    assert [sql.copy for sql in found(Sql, "COPY t FROM STDIN;\n\\.")] == [""]


@pytest.mark.parametrize(
    "text", ["COPY t FROM STDIN;", "COPY t FROM STDIN;\n", "COPY t FROM STDIN;\n1\n\\. \nSELECT 1;"]
)
def test_data_without_end_is_a_mistake(text: str) -> None:
    assert mistakes(f"SELECT 1;\n{text}") == [
        r"2: the data of this COPY … FROM STDIN does not end: a line \. is missing"
    ]
    assert len(statements(text)) == 1


def test_lexemes_stay_in_order_where_the_end_of_the_data_is_missing() -> None:
    lines = [lexeme.place.line for lexeme in scan("COPY t\n-- c\nFROM STDIN;\n1\n", "x.sql")]
    assert lines == [1, 1, 2]


def test_a_copy_without_terminator_is_only_unfinished() -> None:
    assert mistakes("COPY t FROM STDIN\n1\n") == []
    assert [sql.finished for sql in found(Sql, "COPY t FROM STDIN\n1\n")] == [False]


def test_one_group_can_bring_one_block_of_data() -> None:
    assert mistakes("COPY t FROM STDIN \\; COPY u FROM STDIN;") == [
        r"1: more than one COPY … FROM STDIN in one \; group is not supported"
    ]


def test_many_blocks_keep_their_lines() -> None:
    text = "COPY t FROM STDIN;\n1\n2\n\\.\n" * 50
    assert [sql.place.line for sql in found(Sql, text)] == list(range(1, 201, 4))
    assert len(scan(text, "x.sql")) == 50


def test_the_data_of_a_group_with_several_copies_is_no_sql() -> None:
    text = "COPY t FROM STDIN \\; COPY t FROM STDIN;\nit's\n\\.\n2;\n\\.\nSELECT 1;"
    assert mistakes(text) == [r"1: more than one COPY … FROM STDIN in one \; group is not supported"]
    assert statements(text)[1:] == ["SELECT 1"]
