"""`pgchaos run` and `replay`: what they pass on to pytest, and the project that they look in."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.commands.errors import CommandError
from pgchaos.commands.project import project_of
from tests.commands.conftest import Call


@pytest.mark.parametrize("code", pytest.ExitCode)
def test_all_words_are_passed_on_and_the_exit_code_is_pytests(
    call: Call, monkeypatch: pytest.MonkeyPatch, code: pytest.ExitCode
) -> None:
    given: list[str] = []

    def main(words: list[str]) -> pytest.ExitCode:
        given.extend(words)
        return code

    monkeypatch.setattr(pytest, "main", main)
    words = ["sql/a.sql::a[x=1]", "-k", "-h or b", "--chaos-seed=7", "-n", "2", "--", "-x"]
    assert call("run", *words).code == code
    assert given[-len(words) :] == words


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "the token is missing: it ends the report of a failure"),
        (["-v"], "the token is missing: it ends the report of a failure"),
        (["nonsense"], "'nonsense' is no token: copy it from the report of a failure"),
        (["e71f3568a462-1n39gp-010110110"], "token is damaged: "),
        (["@none.token"], "the file of the token cannot be read: "),
    ],
)
def test_what_is_no_token_is_named(call: Call, words: list[str], text: str) -> None:
    ended = call("replay", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"pgchaos replay: {text}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.toml", '[pytest]\nchaos_paths = ["a", "b"]\nchaos_tags = ["one", "two"]\n'),
        (".pytest.ini", "[pytest]\nchaos_paths =\n    a\n    b\nchaos_tags =\n    one\n    two\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nchaos_paths = ["a", "b"]\nchaos_tags = "one\\ntwo"\n'),
        ("pyproject.toml", '[tool.pytest]\nchaos_paths = ["a", "b"]\nchaos_tags = ["one", "two"]\n'),
        ("tox.ini", "[pytest]\nchaos_paths = a\n  b\nchaos_tags = one\n  two\n"),
        ("setup.cfg", "[tool:pytest]\nchaos_paths = a\n  b\nchaos_tags = one\n  two\n"),
    ],
)
def test_the_settings_of_the_project_are_found_as_pytest_finds_them(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    below = tmp_path / "c" / "d"
    below.mkdir(parents=True)
    for folder in (tmp_path, below):
        found = project_of(folder)
        assert found.tags == ("one", "two")
        assert [(folder / path).resolve() for path in found.paths] == [tmp_path / "a", tmp_path / "b"]


def test_a_file_of_another_tool_is_passed_over_and_a_broken_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\n", encoding="utf-8")
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = x\n", encoding="utf-8")
    assert project_of(tmp_path) == ((Path("sql"),), ())
    (tmp_path / "pyproject.toml").write_text("[tool", encoding="utf-8")
    with pytest.raises(CommandError, match=r"pyproject\.toml cannot be read: "):
        project_of(tmp_path)
    (tmp_path / "pyproject.toml").unlink()
    (tmp_path / "setup.cfg").write_text("x = y\n[broken", encoding="utf-8")
    with pytest.raises(CommandError, match=r"setup\.cfg cannot be read: "):
        project_of(tmp_path)


def test_a_project_without_an_ini_file_has_its_scenarios_in_sql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_of(Path.cwd()) == ((Path("sql"),), ())
