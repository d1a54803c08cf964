r"""What psql prints after \x, \a, \t, \f and \pset: a plain pgTAP file passes where pg_prove passes it."""

from __future__ import annotations

import pytest

from pgchaos.engine.psql_output import PsqlOutput
from pgchaos.language.problems import Place
from tests.engine.playing import Play, held, only

HEAD, TAIL = "SELECT no_plan();\n", "\nSELECT * FROM finish();"
UNREAD = {
    "expanded": ("\\x\nSELECT pass('a');\n\\x", "\\x"),
    "expanded by pset": ("\\pset expanded on\nSELECT pass('a');\n\\x off", "\\pset expanded on"),
    "aligned": ("\\a\nSELECT pass('a');\n\\a", "\\a"),
    "aligned by pset": ("\\pset format aligned\nSELECT pass('a');", "\\pset format aligned"),
    "wrapped": ("\\pset format w\nSELECT pass('a');", "\\pset format w"),
    "a header called ok": ("\\t off\nSELECT ok(true);", "\\t off"),
    "quoted": ("\\pset format csv\nSELECT pass('a, b');", "\\pset format csv"),
    "html": ("\\pset format html\nSELECT pass('a');", "\\pset format html"),
    "between rows": ("\\pset recordsep ';'\nSELECT pass(v) FROM (VALUES ('a'), ('b')) AS t (v);", "\\pset recordsep ;"),
}


@pytest.mark.parametrize(("body", "said"), UNREAD.values(), ids=UNREAD.keys())
def test_tap_that_no_parser_reads_fails_with_its_cause(play: Play, body: str, said: str) -> None:
    result = play(HEAD + body + TAIL)
    assert result.failures
    for failure in result.failures:
        assert failure.kind == "tap"
        assert f"scenario.sql:2: {said} has psql print rows" in failure.details[0]


READ = {
    "put back": "\\x\nSELECT 1 AS a;\n\\x\nSELECT pass('a');",
    "in a branch": "\\if no\n\\x\n\\endif\nSELECT pass('a');",
    "csv": "\\pset format csv\nSELECT pass('a');",
    "null": "\\pset null NIX\nSELECT NULL;\nSELECT pass('a');",
    "header": "\\t off\nSELECT pass('a');",
    "separators": "\\f ' '\nSELECT 'ok', 1;\nSELECT pass('a') \\g /dev/null",
    "columns": "\\pset border 2\n\\pset footer off\nSELECT pass('a');",
    "shown only": "\\pset format\n\\pset null\nSELECT pass('a');",
    "auto": "\\x auto\nSELECT pass('a');",
    "described": "SELECT 1 \\gx\nSELECT pass('a');",
}


@pytest.mark.parametrize("body", READ.values(), ids=READ.keys())
def test_what_pg_prove_reads_passes(play: Play, body: str) -> None:
    assert len(held(play(HEAD + body + TAIL))) == 1


REFUSED = {
    "\\pset nix on": "\\pset: unknown option: nix",
    "\\pset nix": "\\pset: unknown option: nix",
    "\\pset format nix": "allowed formats are aligned, ",
    "\\pset format a": 'ambiguous abbreviation "a" matches both "aligned" and "asciidoc"',
    "\\x maybe": 'unrecognized value "maybe" for "\\x": Boolean expected',
}


@pytest.mark.parametrize(("command", "said"), REFUSED.items(), ids=REFUSED.keys())
def test_what_psql_refuses_ends_the_file(play: Play, command: str, said: str) -> None:
    failure = only(play(f"SELECT plan(1);\n{command}\nSELECT pass('a');"))
    assert said in failure.text
    assert failure.place == Place("scenario.sql", 2)


def test_the_check_of_a_scenario_reads_rows_as_they_are(play: Play) -> None:
    text = "-- chaos:session s\nSELECT 1 \\gx\n-- chaos:check\n\\x\n\\a\nSELECT pass('a');\n"
    assert held(play(text)) == ["a"]
    failure = only(play(text + "SELECT pass('b') \\gx"))
    assert (failure.kind, failure.place) == ("tap", Place("scenario.sql", 7))
    assert "\\gx prints the name of its column" in failure.text


def test_an_expanded_statement_fails_with_its_cause(play: Play) -> None:
    for failure in play(HEAD + "SELECT pass('a') \\gx" + TAIL).failures:
        assert "scenario.sql:2: an assertion is not read: \\gx prints the name" in failure.details[0]


def test_echo_without_newline_begins_the_next_line(play: Play) -> None:
    text = "SELECT plan(3);\n\\echo -n 'ok 1'\nSELECT ' - one';\n\\echo -n not\n\\echo -n ' o'\n\\echo k 2 - two\n"
    result = play(text + "\\echo -n 'ok 3 - three'")
    assert [(one.name, one.ok) for one in result.assertions] == [("one", True), ("two", False), ("three", True)]


def test_a_switch_that_is_bare_toggles() -> None:
    output, place = PsqlOutput(), Place("a.sql", 1)
    for name in ("x", "t", "a"):
        output.command(name, (), place)
    assert (output.expanded, output.tuples_only, output.format) == (True, False, "aligned")
    for name in ("expanded", "tuples_only"):
        output.command("pset", (name,), place)
    output.command("a", (), place)
    assert output.plain
