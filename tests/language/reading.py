"""Reading of texts, as files of a test's own folder."""

from __future__ import annotations

from pathlib import Path

from pgchaos.language.model import Scenario
from pgchaos.language.problems import ScenarioError
from pgchaos.language.reader import read


def read_text(folder: Path, text: str, name: str = "t.sql", **constants: str) -> Scenario:
    path = folder / "t.sql"
    path.write_text(text, encoding="utf-8")
    return read(path, name, constants=constants)


def problems(folder: Path, text: str, name: str = "t.sql", **constants: str) -> list[str]:
    """What is wrong with a text."""
    try:
        read_text(folder, text, name, **constants)
    except ScenarioError as error:
        return [str(problem) for problem in error.problems]
    return []
