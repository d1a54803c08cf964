"""Meta-commands of psql in a scan, and the mistakes in them."""

from __future__ import annotations

import re

import pytest

from pgchaos.language.client_copy import FORM, WRITES, ClientCopy, WrongCopy, client_copy
from pgchaos.language.lexemes import Command, Sql
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_items import Form, Send, Variable
from tests.language.scanning import found, mistakes, only, statements

V = Variable("v", Form.PLAIN, ":v")


@pytest.mark.parametrize(
    ("text", "args"),
    [
        (r"\echo", []),
        (r"\echo a  b", [("a",), ("b",)]),
        (r"\echo 'a b'c 'it''s'", [("a bc",), ("it's",)]),
        (r"\echo '\n\t\b\r\f\\\'\q'", [("\n\t\b\r\f\\'q",)]),
        (r"\echo '\101\x42\x'", [("ABx",)]),
        (r"\echo '\303\251\xc3\xa9'", [("éé",)]),
        (r"\echo ''", [()]),
        (r"""\echo "a b"c""", [('"a b"c',)]),
        (r"""\echo "':v" ':v' """, [('"\':v"',), (":v",)]),
        (r"\echo :v x:v:v", [(V,), ("x", V, V)]),
        (r"\echo ::v", [(":", V)]),
        (r"\echo :'v'", [(Variable("v", Form.LITERAL, ":'v'"),)]),
        (r'\echo :"v"', [(Variable("v", Form.IDENTIFIER, ':"v"'),)]),
        (r"\echo :{?v}", [(Variable("v", Form.TEST, ":{?v}"),)]),
        (r"\echo : :{v} :{?v", [(":",), (":{v}",), (":{?v",)]),
        (r"\echo -- a; b", [("--",), ("a;",), ("b",)]),
        (r"\echo a|b", [("a|b",)]),
        ("\\echo a\nSELECT 1;", [("a",)]),
        ("\\echo\ta\r", [("a",)]),
        ("\\echo a\u00a0b", [("a\u00a0b",)]),
    ],
)
def test_arguments(text: str, args: list[tuple[str | Variable, ...]]) -> None:
    assert scan(text, "x.sql")[0] == Command(Place("x.sql", 1), "echo", tuple(args))
    assert mistakes(text) == []


def test_several_commands_on_a_line() -> None:
    text = "\\if :v \\echo a \\else \\echo b\\endif \\\\ SELECT 1; \\echo c"
    assert [(command.name, command.args) for command in found(Command, text)] == [
        ("if", ((V,),)),
        ("echo", (("a",),)),
        ("else", ()),
        ("echo", (("b",),)),
        ("endif", ()),
        ("echo", (("c",),)),
    ]
    assert statements(text) == ["SELECT 1"]


@pytest.mark.parametrize(
    ("written", "name"),
    [("i", "i"), ("include", "i"), ("ir", "ir"), ("include_relative", "ir")],
)
def test_a_file_to_read(written: str, name: str) -> None:
    assert scan(f"\\{written} a.sql;", "x.sql") == [Command(Place("x.sql", 1), name, (("a.sql",),))]


def test_quit_by_either_name() -> None:
    assert [command.name for command in found(Command, "\\q\n\\quit")] == ["quit", "quit"]


@pytest.mark.parametrize(
    "text",
    [
        *("\\timing off", "\\dt+ *.*"),
        *("\\dFp", "\\df+ f", "\\drds", "\\dx+ a", "\\l", "\\l+", "\\list", "\\z t", "\\p"),
    ],
)
def test_display_settings_do_nothing(text: str) -> None:
    assert scan(text, "x.sql") == []
    assert [sql.text for sql in found(Sql, f"SELECT 1\n{text}\n;")] == ["SELECT 1"]


@pytest.mark.parametrize(
    ("text", "name", "args"),
    [
        *(("\\d", "d", ()), ("\\d+ app.t", "d", (("app.t",),)), ("\\dS+", "d", ())),
        *(("\\sf+ f", "sf", (("f",),)), ("\\sv v", "sv", (("v",),))),
    ],
)
def test_what_shows_one_object_is_looked_up(text: str, name: str, args: tuple[tuple[str, ...], ...]) -> None:
    assert scan(text, "x.sql") == [Command(Place("x.sql", 1), name, args)]
    assert [sql.text for sql in found(Sql, f"SELECT 1\n{text}\n;")] == ["SELECT 1"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (r"\gest p", r"\gest is not supported; did you mean \gset?"),
        (r"\sett a 1", r"\sett is not supported; did you mean \set?"),
        (r"\endfi", r"\endfi is not supported; did you mean \endif?"),
        (r"\! rm 'x", r"\! is not supported; no shell command is run: run it before pytest, or in a fixture"),
        (r"\bind 1 \g", r"\bind is not supported; use PREPARE and EXECUTE"),
        (r"\prompt a", r"\prompt is not supported; it is for a person at the terminal: set the variable by \set"),
        (r"\drop t", r"\drop is not supported"),
        (r"\copy t TO 'f'", r"\copy … TO writes a file, which pgchaos does not; \copy … TO STDOUT prints the rows"),
        (
            r"\copy (SELECT 1) TO f",
            r"\copy … TO writes a file, which pgchaos does not; \copy … TO STDOUT prints the rows",
        ),
        (
            r"\copy t FROM PROGRAM 'ls'",
            r"\copy … FROM PROGRAM runs a program, which pgchaos does not; put its output into a file",
        ),
        (r"\copy t FROM 'f' (FORMAT binary)", r"\copy … BINARY is not supported; use text or CSV"),
        (r"\copy t", r"\copy is not understood; write \copy TABLE [(COLUMNS)] FROM 'FILE' [OPTIONS]"),
        (
            r"\o out.txt",
            r"\o out.txt: no file is written; \o /dev/null hides what follows, and \o shows it again",
        ),
        (r"\o | cat", r"\o | cat: no file is written; \o /dev/null hides what follows, and \o shows it again"),
        (r"\encoding KLINGON", r"\encoding KLINGON: no such encoding is known here"),
        (r"\.", r"\. without COPY … FROM STDIN before it"),
        ("\\", "a backslash without a command; inside a string it belongs between quotes"),
        (r"\endif;", r"\endif; is no command of psql; a meta-command ends with its line: \endif"),
        (r"\IF 1", r"\IF is not supported"),
    ],
)
def test_unsupported_commands_take_their_line_with_them(text: str, mistake: str) -> None:
    assert mistakes(f"{text}\nSELECT 2;") == [f"1: {mistake}"]
    assert statements(f"{text}\nSELECT 2;") == ["SELECT 2"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (r"\gset p", r"\gset with nothing before it; remove the `;` that ends the statement before"),
        (r"\gexec", r"\gexec with nothing before it; remove the `;` that ends the statement before"),
        (r"\g", r"\g with nothing before it; remove the `;` that ends the statement before"),
        (
            r"SELECT 2 \g out.txt",
            r"\g out.txt: no file is written and nothing is piped; plain \g sends the statement like `;`, and"
            r" \g /dev/null hides its rows",
        ),
        (
            r"SELECT 2 \g | cat",
            r"\g | cat: no file is written and nothing is piped; plain \g sends the statement like `;`, and"
            r" \g /dev/null hides its rows",
        ),
        (
            r"SELECT 2 \gset -- looks",
            r"psql takes a comment behind \gset for its arguments; put it on a line of its own",
        ),
        (
            r"SELECT 2 \gset a b",
            r"\gset has too many arguments; what follows on its line belongs behind \\ or on the next",
        ),
        (
            r"SELECT 2 \gexec a",
            r"\gexec has too many arguments; what follows on its line belongs behind \\ or on the next",
        ),
        (
            r"\set a `date`",
            r"\set: a command in backticks is not run by pgchaos; set the variable by a query and \gset",
        ),
        (
            r"\echo 'a b",
            r"\echo: unterminated quoted string in its arguments: the closing ' is missing on this line",
        ),
        (
            r'\echo "a',
            r'\echo: unterminated quoted string in its arguments: the closing " is missing on this line',
        ),
        (
            r"SELECT 2 \gset 'a",
            r"\gset: unterminated quoted string in its arguments: the closing ' is missing on this line",
        ),
    ],
)
def test_mistakes_in_arguments(text: str, mistake: str) -> None:
    assert mistakes(f"SELECT 1;\n{text}\nSELECT 3;") == [f"2: {mistake}"]
    assert statements(f"SELECT 1;\n{text}\nSELECT 3;")[-1] == "SELECT 3"


def test_a_display_setting_within_a_statement_is_not_sent() -> None:
    assert statements("SELECT 1,\n\\x on\n:v, 2;") == ["SELECT 1,\n\n:v, 2"]


def test_a_command_inside_a_statement_is_a_mistake_and_still_runs() -> None:
    lexemes = scan("SELECT 1\n\\if :v\nSELECT 2;\n\\endif\n", "x.sql")
    assert [type(lexeme).__name__ for lexeme in lexemes] == ["Sql", "Mistake", "Command", "Sql", "Command"]
    mistake = r"\if inside the statement that begins in line 1; missing `;` or `\gset`?"
    assert getattr(lexemes[1], "text", "") == mistake
    assert all(sql.finished for sql in lexemes if isinstance(sql, Sql))


@pytest.mark.parametrize("name", ["gdesc", "crosstabview", "watch 1", "r"])
def test_a_refused_command_that_ends_a_statement_gives_one_mistake(name: str) -> None:
    text = f"SELECT 1 \\{name}\nSELECT 2;"
    assert [mistake.partition(" is not")[0] for mistake in mistakes(text)] == [f"1: \\{name.partition(' ')[0]}"]
    assert statements(text) == ["SELECT 1", "SELECT 2"]


@pytest.mark.parametrize(("data", "sent"), [("it's; one\n\\.\n", "it's; one\n"), ("\\.\n", "")])
def test_the_data_of_a_client_copy_is_no_sql(data: str, sent: str) -> None:
    copy, after = found(Sql, f"\\copy t (a, b) from STDIN CSV;\n{data}SELECT 1;")
    assert (copy.text, copy.verb, copy.copy) == ("COPY t (a, b) FROM STDIN CSV", "COPY", sent)
    assert after.text == "SELECT 1"


@pytest.mark.parametrize(
    ("written", "statement", "file"),
    [
        ("t from 'f.csv'", "COPY t FROM STDIN", "f.csv"),
        (' "My t" ( a, "b" ) FROM d/f.csv CSV HEADER;', 'COPY "My t" ( a, "b" ) FROM STDIN CSV HEADER', "d/f.csv"),
        (
            "app.t From 'it''s' WITH (FORMAT csv) WHERE a > 1",
            "COPY app.t FROM STDIN WITH (FORMAT csv) WHERE a > 1",
            "it's",
        ),
        ("t(a)from f", "COPY t(a) FROM STDIN", "f"),
        ("t from f;", "COPY t FROM STDIN", "f"),
    ],
)
def test_a_client_copy_names_its_file(written: str, statement: str, file: str) -> None:
    assert client_copy(written) == ClientCopy(statement, file)


@pytest.mark.parametrize(
    ("written", "statement"),
    [
        ("t to stdout", "COPY t TO STDOUT"),
        ("app.t (a) TO STDOUT;", "COPY app.t (a) TO STDOUT"),
        ("(SELECT (1), ') to f') To pstdout CSV HEADER", "COPY (SELECT (1), ') to f') TO STDOUT CSV HEADER"),
        ("(TABLE t)to STDIN", "COPY (TABLE t) TO STDOUT"),
    ],
)
def test_a_client_copy_that_prints(written: str, statement: str) -> None:
    copy, after = found(Sql, f"\\copy {written}\nSELECT 1;")
    assert (copy.text, copy.verb, copy.copy) == (statement, "COPY", None)
    assert after.text == "SELECT 1"


@pytest.mark.parametrize(
    ("written", "why"),
    [("t to program 'cat'", WRITES), ("(TABLE t) to 'stdout'", WRITES), ("(TABLE t) from stdin", FORM)],
)
def test_a_client_copy_that_is_refused(written: str, why: str) -> None:
    with pytest.raises(WrongCopy, match=re.escape(why)):
        client_copy(written)


def test_a_hidden_statement() -> None:
    assert only("SELECT 1 \\g /dev/null").send is Send.HIDDEN
    assert only("SELECT 1 \\gx /dev/null").send is Send.HIDDEN


def test_an_expanded_statement() -> None:
    assert only("SELECT 1 \\gx").send is Send.EXPANDED


@pytest.mark.parametrize("text", ["\\x on", "\\a", "\\t", "\\f ,", "\\pset null '-'"])
def test_a_setting_of_what_psql_prints_is_a_command(text: str) -> None:
    assert [type(one).__name__ for one in scan(f"{text}\nSELECT 1;", "x.sql")] == ["Command", "Sql"]
    assert only("SELECT 1 \\g").send is Send.PLAIN


@pytest.mark.parametrize(
    "line", [r"\endif -- chaos:session two", r"\endif --chaos:check", r"\echo hello -- chaos:mutant m"]
)
def test_a_directive_behind_a_command_is_a_mistake_and_not_lost(line: str) -> None:
    mistake = rf"2: psql takes the directive behind {line.split()[0]} for its arguments; put it on a line of its own"
    assert mistake in mistakes(f"\\if true\n{line}\n")
