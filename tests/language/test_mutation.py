from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.model import Scenario, Session
from pgchaos.language.mutant_texts import text_match
from pgchaos.language.mutation import mutants_in_force, mutated, slug
from pgchaos.language.reader import read
from pgchaos.language.section_items import Send, Statement

BASE = """\
-- chaos:setup
CREATE TABLE t (a int);
INSERT INTO t VALUES (1);
-- chaos:session one x 2 repeat 3 retry 40001 allow 23505
BEGIN;
SELECT a AS b FROM t FOR UPDATE \\gset
UPDATE t SET a = :b + 1;
COMMIT;
-- chaos:session two
SELECT 1\\; SELECT 2\\; SELECT 3;
-- chaos:check
SELECT ok(true, 'fine');
"""


def scenario(folder: Path, mutant: str, base: str = BASE) -> Scenario:
    path = folder / "x.sql"
    path.write_text(f"{base}-- chaos:mutant a bug: it's bad!\n{mutant}\n-- chaos:caught by 'fine'\n")
    return read(path)


def planted(folder: Path, mutant: str) -> Scenario:
    found = scenario(folder, mutant)
    return mutated(found, found.mutants[0])


def texts(session: Session) -> list[str]:
    return [item.text for item in session.items if isinstance(item, Statement)]


def test_a_replacement_changes_one_statement_and_keeps_what_ends_it(tmp_path: Path) -> None:
    one = planted(tmp_path, "-- chaos:replace 'FOR UPDATE' with '' in one").sessions[0]
    assert texts(one) == ["BEGIN", "SELECT a AS b FROM t", "UPDATE t SET a = :b + 1", "COMMIT"]
    select = one.items[1]
    assert isinstance(select, Statement)
    assert select.send is Send.GSET
    assert one.steps == ("1", "2", "3", "4")


def test_a_replaced_variable_is_a_variable_again(tmp_path: Path) -> None:
    one = planted(tmp_path, "-- chaos:replace ':b + 1' with ':worker' in one").sessions[0]
    update = one.items[2]
    assert isinstance(update, Statement)
    assert next(part for part in update.parts if not isinstance(part, str)).name == "worker"


def test_a_statement_of_which_nothing_is_left_is_removed(tmp_path: Path) -> None:
    assert "BEGIN" not in texts(planted(tmp_path, "-- chaos:replace 'BEGIN' with '' in one").sessions[0])


def test_a_statement_may_become_two(tmp_path: Path) -> None:
    one = planted(tmp_path, "-- chaos:replace 'UPDATE t SET' with 'SELECT 1; UPDATE t SET' in one").sessions[0]
    assert texts(one)[2:4] == ["SELECT 1", "UPDATE t SET a = :b + 1"]


def test_a_group_stays_one_statement(tmp_path: Path) -> None:
    two = planted(tmp_path, "-- chaos:replace 'SELECT 2' with 'SELECT 5' in two").sessions[1]
    (item,) = two.items
    assert isinstance(item, Statement)
    assert "".join(part if isinstance(part, str) else part.raw for part in item.parts) == "SELECT 1;SELECT 5;SELECT 3;"


def test_setup_is_replaced_and_the_mutants_sql_follows_it(tmp_path: Path) -> None:
    setup = planted(tmp_path, "DROP TABLE u;\n-- chaos:replace 'VALUES (1)' with 'VALUES (2)' in setup").setup
    found = [item.text for part in setup for item in part.items if isinstance(item, Statement)]
    assert found == ["CREATE TABLE t (a int)", "INSERT INTO t VALUES (2)", "DROP TABLE u"]


def test_a_new_body_inherits_what_it_does_not_say(tmp_path: Path) -> None:
    one = planted(tmp_path, "-- chaos:session one retry none\nSELECT 7;").sessions[0]
    assert (texts(one), one.count, one.repeat, one.retry.codes) == (["SELECT 7"], 2, 3, ())
    assert one.allow[0].name == "23505"


def test_the_scenario_itself_stays_as_it_was(tmp_path: Path) -> None:
    found = scenario(tmp_path, "-- chaos:replace 'FOR UPDATE' with '' in one")
    before = found.sessions
    mutated(found, found.mutants[0])
    assert found.sessions is before
    assert "FOR UPDATE" in texts(found.sessions[0])[1]


def test_a_slug_is_fit_for_an_id(tmp_path: Path) -> None:
    assert slug(scenario(tmp_path, "SELECT 1;").mutants[0]) == "mutant-a-bug-it-s-bad"


@pytest.mark.parametrize(("level", "count"), [("low", 1), ("high", 0)])
def test_an_item_that_is_expected_to_fail_runs_no_mutants(tmp_path: Path, level: str, count: int) -> None:
    head = "-- chaos:matrix level in low, high\n-- chaos:xfail known when level = high\n"
    found = scenario(tmp_path, "SELECT 1;", head + BASE)
    assert len(mutants_in_force(found, {"level": level})) == count


def test_a_mutant_may_be_of_one_value_only(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    head = "-- chaos:matrix level in low, high\n"
    path.write_text(
        f"{head}{BASE}\\set used :level\n-- chaos:mutant odd when level = low\nSELECT 1;\n-- chaos:caught by 'fine'\n"
    )
    found = read(path)
    assert [len(mutants_in_force(found, {"level": level})) for level in ("low", "high")] == [1, 0]


FORMATTED = """\
-- chaos:setup
CREATE TABLE t (
    a int
);
-- chaos:session one
SELECT
    a
FROM
    t
WHERE
    a=1
FOR UPDATE;
UPDATE
    t
SET
    a = 2;
-- chaos:check
SELECT ok(true, 'fine');
"""


@pytest.mark.parametrize(
    "replace",
    [
        "'FROM t WHERE a = 1 FOR UPDATE' with 'FROM t' in one",  # line breaks, and none around the sign
        "'from T where A = 1 for update' with 'FROM t' in one",  # a formatter writes keywords in capitals
        "'FROM t WHERE a=1 FOR UPDATE;' with 'FROM t;' in one",  # the end of the statement
    ],
)
def test_a_replacement_is_found_however_the_statement_is_laid_out(tmp_path: Path, replace: str) -> None:
    found = scenario(tmp_path, f"-- chaos:replace {replace}", FORMATTED)
    (session,) = mutated(found, found.mutants[0]).sessions
    assert texts(session) == ["SELECT\n    a\nFROM t", "UPDATE\n    t\nSET\n    a = 2"]


def test_white_space_in_setup_does_not_matter_either(tmp_path: Path) -> None:
    found = scenario(
        tmp_path, "-- chaos:replace 'CREATE TABLE t (a int);' with 'CREATE TABLE t (b int)' in setup", FORMATTED
    )
    (setup,) = mutated(found, found.mutants[0]).setup
    assert [item.text for item in setup.items if isinstance(item, Statement)] == ["CREATE TABLE t (b int)"]


def test_a_text_that_is_there_to_the_letter_is_that_one_alone(tmp_path: Path) -> None:
    base = "-- chaos:session one\nSELECT A;\nSELECT  a;\n-- chaos:check\nSELECT ok(true, 'fine');\n"
    found = scenario(tmp_path, "-- chaos:replace 'SELECT A' with 'SELECT 2' in one", base)
    assert texts(mutated(found, found.mutants[0]).sessions[0]) == ["SELECT 2", "SELECT  a"]


@pytest.mark.parametrize(
    ("text", "old", "count"),
    [
        ("SELECT 'a  b'", "'a b'", 0),  # quoted: its white space is part of it
        ("SELECT 'A'", "'a'", 0),
        ('SELECT "A"', '"a"', 0),
        ("SELECT ab", "a b", 0),
        ("SELECT a b", "ab", 0),
        ("SELECT a\n  b", "a b", 1),
        ("f ( a,b )", "f(a, b)", 1),
        ("SELECT :'level'", ":'LEVEL'", 0),
        ("SELECT 1", "SELECT 1;", 1),
        ("SELECT 1, 2", "SELECT 1;", 0),
    ],
)
def test_what_counts_as_the_same_text(text: str, old: str, count: int) -> None:
    assert text_match([text], old).count(text) == count
