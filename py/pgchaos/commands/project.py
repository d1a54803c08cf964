"""Reads a project's folders of scenarios and its tags from pytest's ini file, without pytest."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

from pgchaos.commands.errors import CommandError

# In pytest's order: the first existing file with a section for pytest counts. The first four need no section.
_INI = {"pytest.ini": "pytest", ".pytest.ini": "pytest", "tox.ini": "pytest", "setup.cfg": "tool:pytest"}
_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_OF_PYTEST = frozenset(_FILES[:4])


class Project(NamedTuple):
    """The settings of a project."""

    paths: tuple[Path, ...]  # folders whose scenarios are always collected
    tags: tuple[str, ...]  # further tags


def project_of(folder: Path) -> Project:
    """Read the settings of a folder's project, from the nearest ini file in it or above it.

    Raises CommandError if the file cannot be read.
    """
    start = folder.resolve()
    for place in (start, *start.parents):
        for name in _FILES:
            values = _values(place / name)
            if values is not None:
                paths = [_shortest(place / one, start) for one in _words(values.get("chaos_paths")) or ["sql"]]
                return Project(tuple(paths), tuple(_words(values.get("chaos_tags"))))
    return Project((Path("sql"),), ())


def _shortest(path: Path, start: Path) -> Path:
    return path.relative_to(start) if path.is_relative_to(start) else path


def _words(value: object) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else str(value or "").splitlines()) if one]


def _values(path: Path) -> dict[str, Any] | None:
    """Return the values of pytest's section; None without a file or a section."""
    if not path.is_file():
        return None
    try:
        return _toml(path) if path.suffix == ".toml" else _ini(path)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None


def _toml(path: Path) -> dict[str, Any] | None:
    # pytest depends on tomli for a Python without tomllib
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    values: dict[str, Any] = toml.loads(path.read_text(encoding="utf-8"))
    if path.name in _OF_PYTEST:
        found = values.get("pytest", {})
    else:
        tool = values.get("tool", {}).get("pytest")
        found = None if tool is None else tool.get("ini_options", tool)
    return None if found is None else dict(found)


def _ini(path: Path) -> dict[str, Any] | None:
    import iniconfig  # pytest's own dependency

    try:
        sections = iniconfig.IniConfig(str(path)).sections
    except iniconfig.ParseError as error:
        raise ValueError(str(error)) from None
    found = sections.get(_INI[path.name])
    return None if found is None and path.name not in _OF_PYTEST else dict(found or {})
