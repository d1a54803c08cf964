from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgchaos.language.directive_table import DIRECTIVES
from pgchaos.language.model import Scenario, Session
from pgchaos.language.problems import ScenarioError
from pgchaos.language.reader import is_scenario, read, variants
from pgchaos.language.section_items import Statement

EXAMPLES = re.findall(r"```sql\n(.*?)```", (Path(__file__).parents[2] / "sql/LANGUAGE.md").read_text("utf-8"), re.S)
PIECES = [
    "x", "2", "repeat", "retry", "allow", "40001", "unique_violation", "none", "up to 3", "backoff 5ms", "30s", "5",
    "a", "b",
    "a[2]", "a.1", "b.1#2", "when", "level = low", "in", "low, high", "'low'", "''", "'", ",", "by", "for", "blocked",
    "unless", "every 10ms", "at end", "with", "free", "all", "explore", "2..20", "list 0..3 of", "text", "of", "server",
    "kill", "during", "after 5ms", "on 2nd execution", "extension pggit >= 0.1", "ünï", "\\", "$$", "/*",
    "\u2028", "9" * 30,
]  # fmt: skip
DAMAGE = ["", "'", "$$", ":", ";", "-", "\\", "[", "ä"]
SQL = [
    "SELECT 1;", "SELECT 1", "BEGIN;", "COMMIT;", "SELECT 'a", "';", "\\if :x", "\\endif", "\\else",
    "SELECT 1 AS abc \\gset",
    "\\gset", "COPY t FROM STDIN;", "\\.", "$$", "DO $$ BEGIN END $$;", "/* ", "*/", "SELECT is(1, 1);",
    "\\i t.sql", "\\q", "",
    "SELECT 1 \\; SELECT 2;", "UPDATE t SET x = :worker;", "-- prose",
]  # fmt: skip

directives = st.builds(
    lambda word, args: f"-- chaos:{word} {' '.join(args)}",
    st.sampled_from(sorted(DIRECTIVES)),
    st.lists(st.sampled_from(PIECES), max_size=6),
)
lines = st.one_of(directives, st.sampled_from(SQL), st.text(max_size=12))
files = st.lists(lines, max_size=14).map("\n".join)


def outcome(path: Path) -> Scenario | str:
    try:
        return read(path, "t.sql")
    except ScenarioError as error:
        refused = error
    assert refused.problems
    assert len(set(refused.problems)) == len(refused.problems)
    places = [(problem.whole, problem.place) for problem in refused.problems]
    assert places == sorted(places)
    return str(refused)


def check(folder: Path, text: str) -> None:
    path = folder / "t.sql"
    path.write_text(text, encoding="utf-8", newline="")
    first = outcome(path)
    assert first == outcome(path)
    if isinstance(first, Scenario):
        assert first.plain != is_scenario(text, path)
        assert 1 <= len(variants(first)) <= 64
        for session in first.sessions:
            check_steps(session)


def check_steps(session: Session) -> None:
    steps = [item.step for item in session.items if isinstance(item, Statement)]
    assert session.steps == tuple(dict.fromkeys(steps))


fuzz = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""The folder is shared by the examples on purpose: each writes the one file anew. Time is not what is tested."""


@fuzz
@given(st.text())
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    check(tmp_path, text.replace("\0", ""))


@fuzz
@given(files)
def test_any_lines_are_read_or_refused(tmp_path: Path, text: str) -> None:
    check(tmp_path, text.replace("\0", ""))


@fuzz
@given(st.data())
def test_a_damaged_scenario_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    rows = data.draw(st.sampled_from(EXAMPLES)).split("\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(rows) - 1))
        damage = data.draw(st.sampled_from(["delete", "double", "swap", "splice", "character"]))
        if damage == "delete" and len(rows) > 1:
            del rows[at]
        elif damage == "double":
            rows.insert(at, rows[at])
        elif damage == "swap":
            other = data.draw(st.integers(0, len(rows) - 1))
            rows[at], rows[other] = rows[other], rows[at]
        elif damage == "splice":
            rows.insert(at, data.draw(directives))
        else:
            row = rows[at]
            where = data.draw(st.integers(0, len(row)))
            rows[at] = (
                row[:where]
                + data.draw(st.sampled_from(["", "'", "$$", ":", ";", "-", "\\", "[", "ä"]))
                + row[where + 1 :]
            )
    check(tmp_path, "\n".join(rows))


@fuzz
@given(st.binary())
def test_any_bytes_are_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "t.sql"
    path.write_bytes(raw)
    outcome(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@given(st.sampled_from(EXAMPLES))
@fuzz
def test_white_space_at_line_ends_and_indentation_of_directives_change_nothing(
    tmp_path: Path, end: str, text: str
) -> None:
    path = tmp_path / "t.sql"
    path.write_text(text, encoding="utf-8")
    plain = outcome(path)
    changed = text.replace("-- chaos:", "   -- chaos:")
    changed = re.sub(r"^(\s*-- chaos:.*)$", r"\1  ", changed, flags=re.M).replace("\n", end)
    path.write_bytes(changed.encode())
    other = outcome(path)
    assert isinstance(plain, Scenario)
    assert isinstance(other, Scenario)
    assert (other.sessions, other.checks, other.mutants) == (plain.sessions, plain.checks, plain.mutants)
    assert (other.matrix, other.schedule, other.xfails) == (plain.matrix, plain.schedule, plain.xfails)
