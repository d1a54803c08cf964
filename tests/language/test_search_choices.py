"""What a search draws: for the sessions that run, and for each fault by a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.model import Scenario
from pgchaos.language.mutation import mutated, sessions_of
from pgchaos.language.search_choices import drawn_variables, has_floating_fault
from pgchaos.language.section_items import Fault
from tests.language.reading import read_text

FAULT = "-- chaos:fault terminate at any step\nSELECT 1;\nSELECT 2;\n"
CHECK = "-- chaos:check\nSELECT pass('checked');\n"
MUTANT = "-- chaos:mutant bad\n{}\n-- chaos:caught by 'checked'\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / f"{name}.sql").write_text(FAULT)
    return tmp_path


def names(scenario: Scenario, **variables: str) -> dict[str, str | None]:
    """Give the names of what is drawn, and the greatest value of each."""
    return {given.name: given.high for given in drawn_variables(scenario, variables)}


def test_faults_at_the_same_line_of_several_files(folder: Path) -> None:
    text = "-- chaos:session a\n\\ir one.sql\n-- chaos:session b\n\\ir two.sql\n-- chaos:session c\n" + FAULT + CHECK
    assert list(names(read_text(folder, text, "sql/t.sql"))) == [
        "fault of line 1 of sql/one.sql",
        "fault of line 1 of sql/two.sql",
        "fault of line 6",
    ]


def test_a_file_that_is_included_by_several_sessions(folder: Path) -> None:
    text = "-- chaos:session a x 2\n\\ir one.sql\n-- chaos:session b\n\\ir one.sql\n\\ir two.sql\n" + CHECK
    assert names(read_text(folder, text, "sql/t.sql")) == {
        "fault of line 1 of sql/one.sql in a": "4",
        "fault of line 1 of sql/one.sql in b": "4",
        "fault of line 1 of sql/two.sql": "4",
    }


def test_a_file_that_is_included_twice_by_one_session(folder: Path) -> None:
    text = "-- chaos:session a\n\\ir one.sql\n\\ir one.sql\n-- chaos:session b\n\\ir one.sql\n" + CHECK
    assert list(names(read_text(folder, text, "sql/t.sql"))) == [
        "fault of line 1 of sql/one.sql in a (1st time)",
        "fault of line 1 of sql/one.sql in a (2nd time)",
        "fault of line 1 of sql/one.sql in b",
    ]


def test_each_fault_of_a_file_included_twice_is_one_of_its_own(folder: Path) -> None:
    (folder / "one.sql").write_text("-- chaos:fault crash\nSELECT 1;\n")
    head = "-- chaos:sandbox server\n-- chaos:session a\n"
    found = read_text(
        folder, head + "\\ir one.sql\n\\ir one.sql\n-- chaos:session b\n\\ir one.sql\n" + CHECK, "sql/t.sql"
    )
    faults = [item for session in found.sessions for item in session.items if isinstance(item, Fault)]
    assert len(set(faults)) == 3


def test_a_mutant_names_faults_as_its_file_does(folder: Path) -> None:
    text = "-- chaos:session a\n\\ir one.sql\n-- chaos:session b\nSELECT 1;\n" + CHECK
    more = MUTANT.format("-- chaos:session b\n\\ir one.sql")
    found = read_text(folder, text + more, "sql/t.sql")
    assert list(names(found)) == ["fault of line 1 of sql/one.sql in a"]
    assert list(names(mutated(found, found.mutants[0]))) == [
        "fault of line 1 of sql/one.sql in a",
        "fault of line 1 of sql/one.sql in b",
    ]


def test_a_mutant_draws_for_its_own_sessions(folder: Path) -> None:
    own = "-- chaos:session a repeat 2\n" + FAULT
    others = (
        "-- chaos:session a\nSELECT 1;",
        "-- chaos:session a x 3\n-- chaos:fault terminate at any step\nSELECT 1;",
        "-- chaos:replace 'SELECT 2' with 'SELECT 2; SELECT 3' in a",
    )
    text = own + CHECK + "".join(MUTANT.format(f"{other}").replace("bad", f"bad {n}") for n, other in enumerate(others))
    found = read_text(folder, text, "sql/t.sql")
    assert names(found) == {"fault of line 2": "4"}
    drawn_by = [names(mutated(found, mutant)) for mutant in found.mutants]
    assert drawn_by == [{}, {"fault of line 13": "6"}, {"fault of line 2": "6"}]
    assert [has_floating_fault(sessions_of(found, mutant), {}) for mutant in found.mutants] == [False, True, True]


def test_a_fault_for_other_values_of_a_matrix_draws_nothing(folder: Path) -> None:
    head = "-- chaos:matrix how in hard, soft\n-- chaos:given amount in 1..3\n-- chaos:session a\n"
    check = CHECK + "SELECT pass(:'amount');\n"
    found = read_text(folder, head + FAULT.replace("any step", "any step when how = hard") + check, "sql/t.sql")
    assert names(found, how="hard") == {"amount": "3", "fault of line 4": "2"}
    assert names(found, how="soft") == {"amount": "3"}
