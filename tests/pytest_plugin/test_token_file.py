"""A token that is too long to be copied lies in a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgchaos.pytest_plugin.token_file import read_token
from pgchaos.schedule.token import Token
from tests.pytest_plugin.conftest import Project
from tests.pytest_plugin.test_replay import token

MANY = "SELECT 1;\n" * 110
LONG = f"""\
-- Two sessions of many steps
-- chaos:schedule all up to 1
-- chaos:session one
{MANY}
-- chaos:session two
{MANY}
-- chaos:check
SELECT is(1, 2, 'both count');
"""
STEPS = "0" * 110 + "1" * 110


def test_a_long_token_is_replayed_from_its_file(project: Project) -> None:
    project.write(long=LONG, other=LONG + "-- other\n")
    result = project.run("--chaos-seed=5", "sql/long.sql")
    token_text = token(result)
    assert re.fullmatch(r"@\.pytest_cache/d/chaos_tokens/[0-9a-f]{8}-[0-9a-f]{8}\.token", token_text)
    text = (project.pytester.path / token_text[1:]).read_text()
    assert re.fullmatch(f"[0-9a-f]{{12}}-5-{STEPS}\n", text)
    again = project.run(f"--chaos-replay={token_text}")
    again.assert_outcomes(failed=1, deselected=1)
    again.stdout.fnmatch_lines(["pgchaos *, seed 5"])
    assert token(again) == token_text
    # the token itself is taken, too
    project.run(f"--chaos-replay={text.strip()}").assert_outcomes(failed=1, deselected=1)


def test_the_ini_file_names_one_relative_to_itself(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(long=LONG)
    path = project.pytester.path / token(project.run("--chaos-seed=5"))[1:]
    path.rename(project.pytester.path / "kept.token")
    ini = project.pytester.path / "tox.ini"
    ini.write_text(ini.read_text() + "\nchaos_replay = @kept.token\n")
    below = project.pytester.mkdir("below")
    monkeypatch.chdir(below)
    result = project.run("..")
    result.stdout.fnmatch_lines(["pgchaos *, seed 5", "The steps, in the order in which they began:"])


def test_without_a_cache_it_lies_in_a_temporary_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(long=LONG)
    temporary = project.pytester.mkdir("a temporary folder")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    result = project.run("-p", "no:cacheprovider")
    (path,) = temporary.glob("pgchaos-*.token")
    result.stdout.fnmatch_lines([f"    pytest sql/long.sql::long '--chaos-replay=@a temporary folder/{path.name}'*"])
    again = project.run("-p", "no:cacheprovider", f"--chaos-replay=@{path}")
    again.assert_outcomes(failed=1)


def test_a_file_that_is_missing_or_holds_no_token_is_reported(project: Project) -> None:
    project.write(long=LONG)
    result = project.look("--chaos-replay=@gone.token")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --chaos-replay: the file of the token cannot be read: '*/gone.token': No such *"]
    )
    project.file("empty.token", "")
    result = project.look("--chaos-replay=@empty.token")
    result.stderr.fnmatch_lines(
        [f"ERROR: --chaos-replay: file '{project.pytester.path}/empty.token': '' is no token: *"]
    )
    project.file("half.token", str(Token("00000000", 5, (0, 1) * 110))[:120])
    result = project.look("--chaos-replay=@half.token")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --chaos-replay: file '{project.pytester.path}/half.token': token is damaged: '00000000*…' is cut *"]
    )
    project.file("other.token", f"00000000-5-{STEPS}")
    result = project.look("--chaos-replay=@other.token")
    result.stderr.fnmatch_lines(
        ["ERROR: --chaos-replay: the token '00000000????-5-0*0…' matches no collected scenario: *"]
    )


def test_a_token_and_a_file_of_it_say_the_same(tmp_path: Path) -> None:
    token_text = Token("00c0ffee", 7, (0, 1, 1, 0), {"amount": "5"})
    (tmp_path / "a.token").write_text(f"{token_text}\n")
    assert read_token("@a.token", tmp_path) == read_token(str(token_text), tmp_path) == token_text
