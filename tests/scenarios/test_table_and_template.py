"""What helps to write and to find scenarios: the table of all of them, and the template of a new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.__main__ import main
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.mutation import mutated
from pgchaos.language.reader import read
from pgchaos.language.scenario_table import driven_by
from pgchaos.search.strategy import run
from pgchaos.server import Server
from tests.scenarios.test_shipped import SQL, caught

CHECK = "-- chaos:check\nSELECT pass('p');\n"


def test_the_page_of_all_scenarios_says_what_their_files_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scenarios", str(SQL)]) == 0
    page = (SQL / "SCENARIOS.md").read_text(encoding="utf-8")
    assert page.endswith("\n" + capsys.readouterr().out), "run `make scenario-table` and commit sql/SCENARIOS.md"


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("-- chaos:schedule a.1 b.1\n-- chaos:session a\nSELECT 1;\n-- chaos:session b\nSELECT 1;\n", "exact order"),
        ("-- chaos:schedule all\n-- chaos:session a repeat 2\nSELECT 1;\n", "all orders"),
        (
            "-- chaos:schedule explore 9\n-- chaos:oracle serializable\n-- chaos:session a\nSELECT 1;\n",
            "explore 9, oracle",
        ),
        ("-- chaos:session a x 2\n-- chaos:barrier b\n-- chaos:fault cancel\nSELECT 1;\n", "barrier, fault cancel"),
        ("-- chaos:session a repeat 2\n-- chaos:delay 1ms\nSELECT 1;\n", "repetition, delays"),
        ("-- chaos:session a\nSELECT 1;\n", "nothing"),
    ],
)
def test_the_table_says_what_drives_a_scenario(tmp_path: Path, text: str, way: str) -> None:
    path = tmp_path / "one.sql"
    path.write_text(text + CHECK, encoding="utf-8")
    assert driven_by(read(path)) == way


def test_a_table_of_files_with_mistakes_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, tagged = tmp_path / "bad.sql", tmp_path / "tagged.sql"
    bad.write_text(CHECK + "-- chaos:sesion a\nSELECT 1;\n", encoding="utf-8")
    tagged.write_text("-- A | B\n-- chaos:tags mine\n" + CHECK, encoding="utf-8")
    assert main(["--scenarios", str(tmp_path), "--tag", "mine"]) == 1
    assert capsys.readouterr().out.startswith(f"{bad}:3: unknown directive")
    bad.unlink()
    assert main(["--scenarios", str(tmp_path), "--tag", "mine"]) == 0
    assert "| [tagged](tagged.sql) | A \\| B | nothing | mine | 0 |" in capsys.readouterr().out


def test_a_new_scenario_passes_and_its_mutant_fails(tmp_path: Path, private_server: Server) -> None:
    path = tmp_path / "bank" / "double_charge.sql"
    assert main(["--new", str(path)]) == 0
    scenario = read(path)
    assert scenario.title == "Double charge"
    assert not run(scenario, {}, private_server, RunSettings(1)).failures
    (mutant,) = scenario.mutants
    assert caught(mutant, run(mutated(scenario, mutant), {}, private_server, RunSettings(1)))


def test_a_new_scenario_replaces_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.sql"
    path.write_text("mine", encoding="utf-8")
    assert main(["--new", str(path)]) == 1
    assert main(["--new", str(path / "below" / "mine.sql")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{path} exists already: name another file",
        f"{path / 'below' / 'mine.sql'} cannot be written: Not a directory",
    ]
    assert path.read_text(encoding="utf-8") == "mine"
