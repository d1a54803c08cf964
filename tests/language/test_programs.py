"""`run 'COMMAND'`: the words of a command, patterns of requests, and comments that say where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.model import Program
from pgchaos.language.mutation import mutated
from pgchaos.language.programs import allowed_statuses, command_of, matches
from pgchaos.language.sql_comments import Source, source_of
from tests.language.reading import read_text

CHECK = "-- chaos:check\nSELECT pass();\n"


def program(folder: Path, session: str, head: str = "") -> Program:
    found = read_text(folder, f"{head}-- chaos:session {session}\n" + CHECK).sessions[0].program
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python checkout.py --user :worker", ("python", "checkout.py", "--user", "2")),
        ("say \"two words\" it\\''s", ("say", "two words", "it's")),
        ('say ":size and" x:size ::size', ("say", "a b and", "x:size", "::size")),
        ("say :unknown :worker", ("say", ":unknown", "2")),
    ],
)
def test_words_are_split_before_they_take_their_values(tmp_path: Path, command: str, words: tuple[str, ...]) -> None:
    head = "-- chaos:matrix size in 'a b'\n" if ":size" in command else ""
    found = program(tmp_path, f"shop run '{command}'", head)
    assert command_of(found, {"worker": "2", "iteration": "1", "size": "a b"}) == words


def test_a_constant_of_the_header_is_one_word_too(tmp_path: Path) -> None:
    found = read_text(tmp_path, "\\set name 'a b'\n-- chaos:session shop run 'say :name'\n" + CHECK)
    (session,) = found.sessions
    assert session.program is not None
    assert command_of(session.program, found.constants) == ("say", "a b")


def test_options_may_stand_in_any_order(tmp_path: Path) -> None:
    text = "-- chaos:matrix level in low, high\n-- chaos:setup\n\\set used :level\n"
    text += "-- chaos:session shop allow exit 1, 3 grace 50ms run 'x' repeat 2 x 3\n"
    text += "-- chaos:allow exit 4 when level = low\n"
    (session,) = read_text(tmp_path, text + CHECK).sessions
    assert (session.count, session.repeat) == (3, 2)
    assert session.program is not None
    assert session.program.grace == 0.05
    assert allowed_statuses(session, {"level": "low"}) == {0, 1, 3, 4}
    assert allowed_statuses(session, {"level": "high"}) == {0, 1, 3}


def test_a_mutant_runs_another_command_or_the_same_with_other_options(tmp_path: Path) -> None:
    text = "-- chaos:session shop x 2 run 'good' grace 1s\n-- chaos:check\nSELECT pass('it');\n"
    text += "-- chaos:mutant one\n-- chaos:session shop run 'bad'\n-- chaos:caught by 'it'\n"
    text += "-- chaos:mutant two\n-- chaos:session shop allow exit 1\n-- chaos:caught by 'it'\n"
    text += "-- chaos:mutant three\n-- chaos:session shop\nSELECT 1;\n-- chaos:caught by 'it'\n"
    found = read_text(tmp_path, text)
    one, two, three = (mutated(found, mutant).sessions[0] for mutant in found.mutants)
    assert one.program is not None
    assert two.program is not None
    assert (one.count, one.program.text) == (2, "bad")
    assert (two.program.text, two.program.exits, two.program.grace) == ("good", (1,), 1.0)
    assert (three.program, len(three.items)) == (None, 1)


@pytest.mark.parametrize(
    ("pattern", "statement", "like"),
    [
        ("UPDATE seat%", "update  seat\n set x = 1", True),
        ("UPDATE seat%", "UPDATE receipt", False),
        ("", "anything", True),
        ("COMMIT", "commit", True),
        ("COMMIT", "COMMIT AND CHAIN", False),
        ("SELECT _", "SELECT 1", True),
        (r"100\%", "100%", True),
        (r"100\%", "1000", False),
        ("%(x)%", "f(x) ", True),
    ],
)
def test_patterns_of_requests(pattern: str, statement: str, like: bool) -> None:
    assert matches(pattern, statement) == like


@pytest.mark.parametrize(
    ("statement", "source"),
    [
        ("SELECT 1", Source("SELECT 1")),
        ("SELECT 1 /* no pairs */", Source("SELECT 1 /* no pairs */")),
        (
            "SELECT 1 /*application='shop',file='app.py%3A12',traceparent='00-5b-01'*/",
            Source("SELECT 1", "app.py", 12, ("application=shop",)),
        ),
        (
            "/*action='pay',code.filepath='a/b.py',code.lineno='7'*/ SELECT 1",
            Source("SELECT 1", "a/b.py", 7, ("action=pay",)),
        ),
        (r"SELECT 1 /*route='it\'s%20me'*/", Source("SELECT 1", "", 0, ("route=it's me",))),
        ("SELECT 1 /*file='app.py'*/", Source("SELECT 1", "app.py", 0)),
    ],
)
def test_comments_say_where_a_statement_comes_from(statement: str, source: Source) -> None:
    assert source_of(statement) == source
