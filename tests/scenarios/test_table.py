"""The table of all scenarios."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.commands.program import main
from pgchaos.commands.table import driven_by
from pgchaos.language.reader import read
from tests.scenarios.test_shipped import SQL

CHECK = "-- chaos:check\nSELECT pass('p');\n"


def test_the_page_of_all_scenarios_says_what_their_files_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(SQL)]) == 0
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
        ("-- chaos:session a x 2 run 'psql'\n", "programs"),
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
    assert main(["table", str(tmp_path), "--tag", "mine"]) == 1
    assert capsys.readouterr().out.startswith(f"{bad}:3: [language] unknown directive")
    bad.unlink()
    assert main(["table", str(tmp_path), "--tag", "mine"]) == 0
    assert "| [tagged](tagged.sql) | A \\| B | nothing | mine | 0 |" in capsys.readouterr().out
