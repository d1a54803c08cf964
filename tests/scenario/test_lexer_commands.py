from __future__ import annotations

import pytest

from pgchaos.scenario.items import Form, Variable
from pgchaos.scenario.lexemes import Command, Sql
from pgchaos.scenario.lexer import scan
from pgchaos.scenario.place import Place
from tests.scenario.lexing import found, mistakes, statements

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


@pytest.mark.parametrize("text", ["\\pset null '-'", "\\t", "\\a", "\\x on", "\\t\\a \\x"])
def test_display_settings_do_nothing(text: str) -> None:
    assert scan(text, "x.sql") == []
    assert [sql.text for sql in found(Sql, f"SELECT 1\n{text}\n;")] == ["SELECT 1"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (r"\gest p", r"\gest is not supported; did you mean \gset?"),
        (r"\sett a 1", r"\sett is not supported; did you mean \set?"),
        (r"\endfi", r"\endfi is not supported; did you mean \endif?"),
        (r"\connect other", r"\connect is not supported"),
        (r"\! rm 'x", r"\! is not supported"),
        (r"\copy t FROM 'f'", r"\copy is not supported; use COPY … FROM STDIN with its data inline up to \."),
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
        (r"\gset p", r"\gset with nothing before it; take away the `;` that ends the statement before"),
        (r"\gexec", r"\gexec with nothing before it; take away the `;` that ends the statement before"),
        (r"\g", r"\g with nothing before it; take away the `;` that ends the statement before"),
        (
            r"SELECT 2 \g out.txt",
            r"arguments of \g (options, files and pipes) are not supported; plain \g sends the statement like `;`",
        ),
        (
            r"SELECT 2 \g | cat",
            r"arguments of \g (options, files and pipes) are not supported; plain \g sends the statement like `;`",
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


def test_a_command_inside_a_statement_is_told_and_obeyed() -> None:
    lexemes = scan("SELECT 1\n\\if :v\nSELECT 2;\n\\endif\n", "x.sql")
    assert [type(lexeme).__name__ for lexeme in lexemes] == ["Sql", "Mistake", "Command", "Sql", "Command"]
    said = r"\if inside the statement that begins in line 1; missing `;` or `\gset`?"
    assert getattr(lexemes[1], "text", "") == said
    assert all(sql.finished for sql in lexemes if isinstance(sql, Sql))


@pytest.mark.parametrize("name", ["gx", "gdesc", "crosstabview", "watch 1", "r"])
def test_a_refused_command_that_ends_a_statement_is_told_alone(name: str) -> None:
    text = f"SELECT 1 \\{name}\nSELECT 2;"
    assert [mistake.partition(" is not")[0] for mistake in mistakes(text)] == [f"1: \\{name.partition(' ')[0]}"]
    assert statements(text) == ["SELECT 1", "SELECT 2"]


@pytest.mark.parametrize("data", ["it's; one\n\\.\n", "\\.\n"])
def test_the_data_of_a_refused_copy_is_no_sql(data: str) -> None:
    text = f"\\copy t from STDIN\n{data}SELECT 1;"
    assert [mistake.partition(" is not")[0] for mistake in mistakes(text)] == ["1: \\copy"]
    assert statements(text) == ["SELECT 1"]


@pytest.mark.parametrize(
    "line", [r"\endif -- chaos:session two", r"\endif --chaos:check", r"\echo hello -- chaos:mutant m"]
)
def test_a_directive_behind_a_command_is_a_mistake_and_not_lost(line: str) -> None:
    told = rf"2: psql takes the directive behind {line.split()[0]} for its arguments; put it on a line of its own"
    assert told in mistakes(f"\\if true\n{line}\n")
