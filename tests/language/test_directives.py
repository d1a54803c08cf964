from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgchaos.language.directive_table import DIRECTIVES
from pgchaos.language.directives import Directive, find_directive
from pgchaos.language.reader import is_scenario


@pytest.mark.parametrize(
    ("comment", "word", "text"),
    [
        ("-- chaos:setup", "setup", ""),
        ("-- chaos:setup   ", "setup", ""),
        ("-- chaos:session cashier x 2", "session", "cashier x 2"),
        ("-- chaos:session\tcashier", "session", "cashier"),
        ("-- chaos:caught by 'it''s sold'", "caught", "by 'it''s sold'"),
    ],
)
def test_a_directive_is_its_word_and_the_rest_of_its_line(comment: str, word: str, text: str) -> None:
    assert find_directive(comment) == Directive(word, text)


@pytest.mark.parametrize(
    ("comment", "found"),
    [
        ("--\u00a0chaos:session a", "character 3 of this directive is U+00A0 (NO-BREAK SPACE)"),
        ("-- chaos\uff1asession a", "character 9 of this directive is U+FF1A (FULLWIDTH COLON)"),
        ("-- \u200bchaos:session a", "character 4 of this directive is U+200B (ZERO WIDTH SPACE)"),
        ("-- \u0441haos:session a", "character 4 of this directive is U+0441 (CYRILLIC SMALL LETTER ES)"),
        ("--\u2003Chaos:sesion a", "character 3 of this directive is U+2003 (EM SPACE)"),
        ("\u2014 chaos:session a", "character 1 of this directive is U+2014 (EM DASH)"),
        ("\u2013- chaos:session a", "character 1 of this directive is U+2013 (EN DASH)"),
        ("-\u2013 chaos:session a", "character 2 of this directive is U+2013 (EN DASH)"),
        ("\u2212\u2212 chaos:sesion a", "character 1 of this directive is U+2212 (MINUS SIGN)"),
    ],
)
def test_a_character_that_only_looks_right_is_named(comment: str, found: str) -> None:
    directive = find_directive(comment)
    assert directive == Directive("session", "a", found + ": write it anew, `-- chaos:session`")


@pytest.mark.parametrize("comment", ["--\u00a0chaos is fun", "-- \u0445aoc", "-- \u0441haos for all", "--\u00a0x: y"])
def test_prose_in_other_alphabets_is_prose(comment: str) -> None:
    assert find_directive(comment) is None


@pytest.mark.parametrize(
    ("comment", "word"),
    [
        ("--chaos:session a", "session"),
        ("--  chaos:session a", "session"),
        ("--\tchaos:session a", "session"),
        ("-- chaos :session a", "session"),
        ("-- chaos: session a", "session"),
        ("-- chaos session a", "session"),
        ("-- chaos session", "session"),
        ("-- chaos session a x 2", "session"),
        ("-- chaos;session a", "session"),
        ("-- chaos=session a", "session"),
        ("-- chaos-session a", "session"),
        ("-- chaos-expect 23505", "expect"),
        ("--- chaos:session a", "session"),
        ("---chaos session a", "session"),
        ("-- pgchaos:session a", "session"),
        ("-- PgChaos:session a", "session"),
        ("-- chaos:session: a", "session"),
        ("-- chaos:sesion a", "session"),
        ("-- chaos: sesion a", "session"),
        ("-- chaos:Session a", "session"),
        ("-- CHAOS:session a", "session"),
        ("-- Chaos session a x 2", "session"),
        ("-- choas:session a", "session"),
        ("-- choas session a x 2", "session"),
        ("--choas:session a", "session"),
        ("-- caos:session a", "session"),
        ("-- chaoss:session a", "session"),
        ("-- chaos barrier looked unless blocked", "barrier"),
        ("-- chaos expect 23505", "expect"),
        ("-- chaos expect unique_violation", "expect"),
        ("-- chaos wait blocked cashier[2]", "wait"),
        ("-- chaos schedule a.1 b.1 a.2", "schedule"),
        ("-- chaos xfail 'sold once' known", "xfail"),
        ("-- chaos replace 'a' with 'b' in c", "replace"),
        ("-- chaos invariant every 10ms may be empty", "invariant"),
        ("-- chaos:", ""),
        ("-- chaos:!", "!"),
        ("--chaos:qqq", "qqq"),
        ("# chaos:session a", "session"),
        ("#chaos:session a", "session"),
        ("// chaos:sesion a", "session"),
        ("# chaos:qqq", "qqq"),
    ],
)
def test_a_misspelt_directive_is_found_with_what_was_meant(comment: str, word: str) -> None:
    found = find_directive(comment)
    assert found is not None
    assert found.word == word
    assert found.mistake
    assert f"`{word}`" in found.mistake or f"-- chaos:{word}" in found.mistake


@pytest.mark.parametrize(
    "comment",
    [
        "--",
        "-- chaos",
        "-- chaos testing is fun",
        "-- Chaos: a story in three parts",
        "-- chaos, session and all",
        "-- chaos check that nothing is lost",
        "-- chaos session is what we call it",
        "-- chaos state of the art",
        "-- chaos schedule is random here",
        "-- chaos wait for it to open",
        "-- chaos step by step",
        "-- Chaos: check that nothing is lost",
        "-- chaos-session is what we call it",
        "-- chaos-free",
        "-- chaos = session and all",
        "--- chaos ---",
        "---- chaos:session a",
        "-- pgchaos session a",
        "-- pgchaos: a story in three parts",
        "-- class-session a",
        "-- chaos.barrier('looked') is the toolkit's",
        "-- class:session",
        "-- cases: session a",
        "-- chars: x",
        "-- session a x 2",
        "-- check: the seat was sold once",
        "-- -- chaos:barrier looked",
        "-- see chaos:session",
        "-- TODO: session a",
    ],
)
def test_prose_is_no_directive(comment: str) -> None:
    assert find_directive(comment) is None


@given(st.sampled_from(sorted(DIRECTIVES)), st.text(st.characters(exclude_characters="\n\r")))
def test_whatever_follows_its_word_a_directive_stays_one(word: str, text: str) -> None:
    found = find_directive(f"-- chaos:{word} {text}")
    assert found == Directive(word, text.strip())


@given(st.text(st.characters(exclude_characters="\n")))
def test_any_comment_is_judged_without_error(text: str) -> None:
    find_directive("--" + text)


@pytest.mark.parametrize(
    "text",
    [
        "-- chaos:check\nSELECT pass();\n",
        "-- DBA's file\n\n  -- chaos:check\r\nSELECT pass();\n",
        "SELECT 'a';\n-- chaos:check\n",
        "SELECT 1; -- chaos:barrier x\n",
        "SELECT 1\n-- chaos:check\n",
        "--chaos:check\nSELECT pass();\n",
        "\ufeff-- chaos:check\nSELECT pass();\n",
        "# chaos:check\nSELECT pass();\n",
        "  // chaos:check\nSELECT pass();\n",
        "\ufeff\u2014 chaos:check\nSELECT pass();\n",
        "CREATE TABLE t ();\n\u2013- chaos:check\nSELECT pass();\n",
    ],
)
def test_a_text_with_a_directive_is_a_scenario(text: str) -> None:
    assert is_scenario(text)


@pytest.mark.timeout(15)
@pytest.mark.parametrize("mark", ["#", "/", "\u2014"])
def test_a_long_line_of_comment_marks_takes_no_time(mark: str) -> None:
    assert not is_scenario(f"SELECT '{mark * 1_000_000}';\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT 1;\n",
        "-- chaos testing is fun\nSELECT 1;\n",
        "SELECT '\n-- chaos:check\n';\n",
        'SELECT "\n-- chaos:check\n";\n',
        "DO $$\n-- chaos:check\n$$;\n",
        "/*\n-- chaos:check\n*/\n",
        "COPY t FROM STDIN;\n-- chaos:check\n\\.\n",
        "-- see -- chaos:check\n",
        "SELECT '\n# chaos:check\n';\n",
        "SELECT 2 # chaos:check;\n",
        "COPY t FROM STDIN;\n# chaos:check\n\\.\n",
    ],
)
def test_a_directive_in_quotes_block_comments_or_data_is_none(text: str) -> None:
    assert not is_scenario(text)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("-- Mine\n\\set table t\n\\ir pattern.sql\n", True),
        ("\\set file pattern.sql\n \\i :file\n", True),
        ("\\include deep.psql\n", True),
        ("\\ir plain.psql\n", False),
        ("\\ir missing.sql\n", False),
        ("SELECT '\n\\ir pattern.sql\n';\n", False),
        ("\\ir itself.sql\n", False),
    ],
)
def test_the_directives_of_files_that_are_included_count(text: str, *, counts: bool, tmp_path: Path) -> None:
    files = {"pattern.sql": "-- chaos:check\n", "deep.psql": "\\ir pattern.sql\n", "plain.psql": "SELECT 1;\n"}
    for name, content in {**files, "itself.sql": text}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert is_scenario(text, tmp_path / "itself.sql") is counts
    assert not is_scenario(text)
