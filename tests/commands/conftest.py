"""The program `pgchaos`, called in the tests' own process, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pgchaos.commands.program import main


class Ended(NamedTuple):
    """How a call ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: an empty project."""
    (tmp_path / "sql").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the program in the folder."""
    assert Path.cwd() == folder

    def called(*arguments: str) -> Ended:
        try:
            code = main(list(arguments))
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return called
