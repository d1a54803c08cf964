"""`pgchaos new`: templates that run, by options and by questions."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from pgchaos.commands.arguments import KINDS
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.mutation import mutated
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server import Server
from tests.commands.conftest import Call
from tests.scenarios.test_shipped import caught


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_scenario_passes_its_mutant_fails_and_lint_finds_nothing(
    call: Call, kind: str, private_server: Server
) -> None:
    ended = call("new", "bank/double_charge", "--kind", kind)
    path = Path("sql/bank/double_charge.sql")
    assert ended == (0, f"{path} is written. It runs as it is: pgchaos run {path} --chaos-mutants\n", "")
    scenario = read(path)
    assert scenario.title == "Double charge"
    assert not run(scenario, {}, private_server, RunSettings(1)).failures
    (mutant,) = scenario.mutants
    assert caught(mutant, run(mutated(scenario, mutant), {}, private_server, RunSettings(1)))
    assert call("lint", "--strict") == (0, "", "")


def test_options_fill_the_template(call: Call) -> None:
    options = ("--title", "Two  at\nonce", "--connections", "3", "--tags", "slow smoke")
    assert call("new", "elsewhere/mine.sql", *options).code == 0
    scenario = read(Path("elsewhere/mine.sql"))
    assert (scenario.title, sorted(scenario.tags)) == ("Two at once", ["concurrent", "slow", "smoke"])
    assert [session.count for session in scenario.sessions] == [3]


def test_what_would_not_run_is_not_written(call: Call, folder: Path) -> None:
    for options, text in {
        ("--tags", "bogus"): "nothing is written, as it would not run: sql/mine.sql:6: `tags`: unknown tag `bogus`; ",
        ("--title", "chaos:sesion"): "nothing is written, as it would not run: sql/mine.sql:1: unknown directive `ses",
        ("--title", "\udce9"): "nothing is written, as it would not run: sql/mine.sql:1: the file is not UTF-8",
    }.items():
        ended = call("new", "mine", *options)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"pgchaos new: {text}")
    assert not (folder / "sql" / "mine.sql").exists()
    (folder / "pytest.ini").write_text("[pytest]\nchaos_tags = bogus\n", encoding="utf-8")
    assert call("new", "mine", "--tags", "bogus", "--title", "CONNECTIONS with TAGS").code == 0
    assert read(Path("sql/mine.sql"), extra_tags=["bogus"]).title == "CONNECTIONS with TAGS"


def test_a_name_is_below_the_first_folder_of_the_project(call: Call, folder: Path) -> None:
    (folder / "pytest.ini").write_text("[pytest]\nchaos_paths = db/chaos\n", encoding="utf-8")
    for name in ("one", "db/chaos/two", "three.v2"):
        assert call("new", name).code == 0
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.sql"))
    assert found == ["db/chaos/one.sql", "db/chaos/three.v2.sql", "db/chaos/two.sql"]


def test_the_command_that_runs_it_can_be_copied(call: Call) -> None:
    assert call("new", "two words").out.endswith("pgchaos run 'sql/two words.sql' --chaos-mutants\n")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answered(monkeypatch: pytest.MonkeyPatch, answers: str) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal(answers))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)


def test_on_a_terminal_it_asks_for_what_no_option_gives(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, "A seat is sold once\n4\n5\n")
    ended = call("new", "mine")
    assert ended.code == 0
    assert "What does it show? [Mine] " in ended.out
    assert "  2  order    one certain order of the steps\n" in ended.out
    scenario = read(Path("sql/mine.sql"))
    assert (scenario.title, scenario.oracle) == ("A seat is sold once", "serializable")
    assert scenario.sessions[0].count == 5


def test_an_empty_answer_takes_the_default_and_a_wrong_one_writes_nothing(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(monkeypatch, "\n\n\n")
    assert call("new", "mine").code == 0
    assert read(Path("sql/mine.sql")).title == "Mine"
    answered(monkeypatch, "\nnine\n")
    assert "there is no kind `nine`: name one of race, " in call("new", "other").err
    assert not Path("sql/other.sql").exists()
    # the terminal is gone
    answered(monkeypatch, "")
    assert call("new", "third").code == 0


def test_it_replaces_no_file_and_says_what_is_wrong(call: Call, folder: Path) -> None:
    path = folder / "sql" / "mine.sql"
    path.write_text("mine", encoding="utf-8")
    (folder / "sql" / "link.sql").symlink_to(folder / "nowhere.sql")
    for arguments, text in {
        ("mine",): "sql/mine.sql exists already: name another file",
        ("mine.sql/below",): "sql/mine.sql/below.sql cannot be written: File exists",
        ("x/../../y",): "`x/../../y` leaves its folder: name it without `..`, or give a path that ends in .sql",
        ("sql/../y",): "`sql/../y` leaves its folder",
        ("sql/link.sql",): "sql/link.sql exists already",
        (" ",): "the name is empty: name the scenario, such as bank/double_charge",
        (
            "x",
            "--kind",
            "order",
            "--connections",
            "3",
        ): "--connections: a scenario of kind order has its sessions by name",
        ("x", "--tags", "Slow"): "--tags: `Slow` is no tag: a tag is a word of a-z, 0-9 and _",
        ("x", "--connections", "1"): "1 clients: give a number from 2 to 50",
    }.items():
        ended = call("new", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"pgchaos new: {text}")
    assert path.read_text(encoding="utf-8") == "mine"
    assert [str(one.relative_to(folder)) for one in folder.rglob("*.sql") if one.is_file()] == ["sql/mine.sql"]
