"""On a terminal, prose fits its width; piped, nothing changes; SQL, paths and findings stay in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pgchaos.commands.wrapping import fitted_page
from pgchaos.report.wrapping import fitted, unbroken
from tests.commands.conftest import Call, Ended

WIDTH = 80
SCENARIO = """-- Two clients count
-- chaos:schedule explore 50

-- chaos:setup
CREATE TABLE counter (id int PRIMARY KEY, value int);
CREATE TABLE another_table_of_the_same_setup (id int PRIMARY KEY, value int);

-- chaos:session client x 2
UPDATE counter SET value = value + 1 WHERE id = (SELECT min(id) FROM another_table_of_the_same_setup);
-- chaos:check
SELECT pass();
-- chaos:mutant a mutant whose name is longer than what is left of the line
-- chaos:replace 'value + 1' with '2' in client
-- chaos:caught by 'pass'
"""


@pytest.fixture
def on_terminal(call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the program where its output is a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    def called(*words: str) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr(sys.stdout, "isatty", lambda: True)
            return call(*words)

    return called


@pytest.mark.parametrize(
    "words", [["docs"], ["examples"], ["examples", "lost_update"], ["lint", "--rules"], ["explain", "sql/long.sql"]]
)
def test_what_is_listed_fits_the_terminal(folder: Path, call: Call, on_terminal: Call, words: list[str]) -> None:
    (folder / "sql/long.sql").write_text(SCENARIO, encoding="utf-8")
    _, piped, _ = call(*words)
    _, shown, _ = on_terminal(*words)
    assert shown.split() == piped.split()
    assert max(map(len, shown.splitlines())) <= max(WIDTH, *map(len, piped.split()))
    # each line of before begins a line
    heads = [line.split()[0] for line in piped.splitlines() if line]
    found = iter(line.split()[0] for line in shown.splitlines() if line)
    assert all(head in found for head in heads)
    if words[0] == "explain":
        (sql,) = {line.split("-> ")[0].strip() for line in piped.splitlines() if " UPDATE " in line}
        assert sql in shown
        assert "`a mutant whose name is longer than what is left of the line`" in shown


def test_a_page_fits_the_terminal_but_for_its_code(call: Call, on_terminal: Call) -> None:
    _, piped, _ = call("docs", "migrations")
    _, shown, _ = on_terminal("docs", "migrations")
    assert shown.split() == piped.split()
    before, after = (
        [(line.startswith(("    ", "\\set", "-- ")), line) for line in text.splitlines()] for text in (piped, shown)
    )
    assert [line for is_code, line in before if is_code] == [line for is_code, line in after if is_code]
    assert max(len(line) for _, line in before) > WIDTH >= max(len(line) for is_code, line in after if not is_code)


def test_a_finding_stays_one_line(folder: Path, call: Call, on_terminal: Call) -> None:
    (folder / "sql/long.sql").write_text(SCENARIO, encoding="utf-8")
    assert on_terminal("lint") == call("lint")
    assert max(map(len, on_terminal("lint")[1].splitlines())) > WIDTH


def test_lines_end_at_blanks_only() -> None:
    assert fitted("one two three", None) == "one two three"
    assert fitted("one two three", 8) == "one two\n    three"
    assert fitted("one `two three` a/very/long/path", 8, 0) == "one\n`two three`\na/very/long/path"
    assert fitted(f"one {unbroken('two three')}", 8, 2) == "one\n  two three"
    page = "# A heading that is long\n\n- an item\n  of two lines\n- b\n\n```sql\nSELECT 1 AS one;\n```\n| a | bb |\n"
    assert fitted_page(page, 9) == (
        "# A heading that is long\n\n- an item\n  of two\n  lines\n- b\n\n```sql\nSELECT 1 AS one;\n```\n| a | bb\n"
        "    |\n"
    )
