"""Control characters in data do not reach the terminal."""

from __future__ import annotations

import unicodedata

import pytest

from pgchaos import safe_output
from pgchaos.safe_output import hide, one_line, printable
from tests.pytest_plugin.conftest import FINE, Project

COMMANDS = {
    "escape": "\x1b",
    "csi of C1": "\x9b",
    "osc of C1": "\x9d",
    "bell": "\x07",
    "backspace": "\x08",
    "carriage return": "\r",
    "delete": "\x7f",
    "next line": "\x85",
    "override to the left": "\u202e",
    "isolate": "\u2067",
    "mark": "\u200f",
    "arabic mark": "\u061c",
    "line separator": "\u2028",
    "byte order mark": "\ufeff",
    "zero width": "\u200b",
    "tag": "\U000e0041",
    "surrogate": "\ud89b",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_control_characters_are_escaped(name: str) -> None:
    shown = printable(f"a{COMMANDS[name]}b")
    assert shown.isprintable()
    assert shown == "a" + COMMANDS[name].encode("unicode_escape").decode() + "b"


def test_a_byte_that_is_not_utf_8_is_escaped() -> None:
    assert printable("a\udc9bb") == "a\\x9bb"


def test_no_character_controls_a_terminal() -> None:
    # of all at once, as a call for each takes ten times as long: no character depends on others
    every = (chr(number) for number in range(0x110000) if number not in (0x0A, 0x09, 0x200D))
    left = {character for character in printable("".join(every)) if not character.isprintable()}
    controls = ("Cc", "Cf", "Cs", "Zl", "Zp")
    assert not {hex(ord(character)) for character in left if unicodedata.category(character) in controls}


def test_readable_text_is_not_changed() -> None:
    for text in ("naïve Füße 東京 שלום 👩‍👩‍👧", "two\nlines\tand a tab", "no-break\u00a0space", "back\\slash \\x1b"):
        assert printable(text) == text


def test_a_name_stays_on_its_line() -> None:
    assert one_line("a\nPASSED\tb") == r"a\nPASSED\tb"


def test_a_short_password_or_one_that_is_a_name_does_not_mask_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_output, "_secrets", set())
    hide("abc")
    hide("tester", frozenset({"tester"}))
    hide("postgres")
    assert printable("abc tester postgres") == "abc tester postgres"
    hide("it's long")
    assert printable(r"it's long, it\'s long, it%27s%20long") == "********, ********, ********"


SCENARIO = r"""
-- Nothing of this commands a terminal
-- chaos:setup
CREATE TABLE t (a text PRIMARY KEY);
-- chaos:session one
SELECT '{0}statement';
DO $$ BEGIN RAISE NOTICE '{0}notice'; END $$;
LISTEN l;
NOTIFY l, '{0}payload';
\echo {0}echo
DO $$ BEGIN RAISE EXCEPTION '{0}error' USING DETAIL = '{0}detail', HINT = '{0}hint'; END $$;
-- chaos:check
SELECT ok(true, 'it ran');
"""

CHECK = """
-- chaos:check
SELECT is('{0}have'::text, '{0}want', '{0}description');
SELECT ok(true, '{0}held');
SELECT * FROM skip('{0}why', 1);
"""

SPEC = """
setup {{ CREATE TABLE t (a text); INSERT INTO t VALUES ('{0}row'); }}
teardown {{ DROP TABLE t; }}
session one
step a {{ SELECT a FROM t; }}
step b {{ DO $$ BEGIN RAISE EXCEPTION '{0}error'; END $$; }}
permutation a b
"""


@pytest.mark.parametrize("command", ["\x1b]0;title\x07", "\x9b31m", "\u202e", "\r"])
def test_no_text_of_a_scenario_controls_the_terminal(command: str, project: Project) -> None:
    project.write(bad=SCENARIO.format(command))
    project.write(check=CHECK.format(command))
    project.file("sql/spec.spec", SPEC.format(command))
    project.file("expected/spec.out", "something else\n")
    result = project.run("-vv", "-s", "-rA", "--junit-xml=junit.xml", "--chaos-pgtap", "--color=no", "sql")
    written = (project.pytester.path / "junit.xml").read_text(encoding="utf-8")
    printed = "\n".join([*result.outlines, *result.errlines, written])
    # a carriage return ends a line of TAP
    words = ("error", "detail", "hint", "notice", *(() if command == "\r" else ("have", "want", "description")))
    for word in words:
        assert command.encode("unicode_escape").decode() + word in printed, word
    assert [line for line in printed.split("\n") if command[0] in line] == []


def test_subtests_of_tests_in_python_are_captured_behind_a_scenario(project: Project) -> None:
    project.write(fine=FINE)
    project.file(
        "test_it.py",
        "def test_it(subtests):\n    with subtests.test('inner'):\n        print('said in it')\n        assert False\n",
    )
    result = project.run("sql", "test_it.py")
    result.stdout.fnmatch_lines(["*test_it [[]inner[]]*", "said in it", "contains 1 failed subtest"])
    assert result.outlines.count("said in it") == 1
