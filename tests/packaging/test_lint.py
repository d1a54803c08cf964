"""`python -m pgchaos --lint`: what is wrong with scenarios, without a server, and pre-commit's hook."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from pgchaos.__main__ import main
from tests.packaging.conftest import ROOT, call

GOOD = "-- chaos:check\nSELECT pass('p');\n"
BAD = GOOD + "-- chaos:sesion a\nSELECT 1;\n"


def write(folder: Path, **texts: str) -> list[str]:
    for name, text in texts.items():
        (folder / f"{name}.sql").write_text(text, encoding="utf-8")
    return [str(folder / f"{name}.sql") for name in texts]


def test_what_is_wrong_is_printed_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = write(tmp_path, good=GOOD, bad=BAD)
    assert main(["--lint", good, bad]) == 1
    (first, *_) = capsys.readouterr().out.splitlines()
    assert first == f"{bad}:3: unknown directive `sesion`, did you mean `session`?"


def test_files_that_are_right_and_those_that_are_no_scenarios_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(
        tmp_path, good=GOOD, migration="DROP TABLE everything; \\nonsense\n", tagged="-- chaos:tags mine\n" + GOOD
    )
    assert main(["--lint", *files, "--tag", "mine"]) == 0
    assert capsys.readouterr().out == ""


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--lint", str(tmp_path / "none.sql")]) == 1
    assert "none.sql:1: the file " in capsys.readouterr().out


def test_the_shipped_scenarios_are_right() -> None:
    done = call(sys.executable, "-m", "pgchaos", "--lint", *sorted((ROOT / "sql").rglob("*.sql")), cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_hook_for_other_projects_calls_it() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["entry"], hook["types_or"]) == ("python -m pgchaos --lint", ["sql"])


def test_links_of_the_pages_for_contributors_lead_somewhere() -> None:
    for page in (".github/CONTRIBUTING.md", "tests/README.md", "sql/README.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert ((ROOT / page).parent / link).is_file(), (page, link)
