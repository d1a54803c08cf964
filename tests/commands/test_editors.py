"""The grammars and snippets in py/editors know every directive."""

from __future__ import annotations

import importlib.util
import json
import plistlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pgchaos.language.directive_table import DIRECTIVES
from pgchaos.language.reader import is_scenario

EDITORS = Path(__file__).parents[2] / "py" / "editors"
ALONE, INJECTED = (
    EDITORS / "sublime" / "pgchaos.tmLanguage",
    EDITORS / "vscode" / "syntaxes" / "pgchaos.tmLanguage.json",
)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The program that writes the files; it is no part of the package."""
    spec = importlib.util.spec_from_file_location("generate", EDITORS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_what_the_generator_writes(generator: ModuleType) -> None:
    written: dict[Path, bytes] = generator.files()
    found = {path for path in EDITORS.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert found == {*written, EDITORS / "README.md", EDITORS / "generate.py"}
    for path, content in written.items():
        assert path.read_bytes() == content, "run `make editors` and commit py/editors"


def patterns(grammar: dict[str, Any]) -> list[tuple[str, re.Pattern[str]]]:
    """Each pattern that begins something, with the scope of its third group; these are patterns of Python too."""
    found = []
    for one in grammar["patterns"]:
        if "include" not in one:
            captures = one.get("beginCaptures") or one["captures"]
            found.append((captures["3"]["name"], re.compile(one.get("begin") or one["match"])))
    return found


def scope(grammar: dict[str, Any], line: str) -> str:
    return next((name for name, pattern in patterns(grammar) if pattern.search(line)), "")


@pytest.mark.parametrize("grammar", [json.loads(INJECTED.read_text()), plistlib.loads(ALONE.read_bytes())])
def test_each_directive_is_highlighted_and_what_is_none_is_marked(grammar: dict[str, Any]) -> None:
    for word in DIRECTIVES:
        assert re.fullmatch(r"(keyword|entity)\..*\.pgchaos", scope(grammar, f"-- chaos:{word} x"))
    assert scope(grammar, "-- chaos:sesion x") == "invalid.illegal.directive.pgchaos"
    assert scope(grammar, "-- chaos:steps") == "invalid.illegal.directive.pgchaos"
    assert scope(grammar, "SELECT 1; -- lint: allow sleep, it is meant") == "constant.language.rule.pgchaos"
    assert scope(grammar, "-- chaos is meant") == scope(grammar, "SELECT 1; -- chaos:step x") == ""


def test_each_directive_has_a_snippet_that_types_it() -> None:
    snippets = json.loads((EDITORS / "vscode" / "snippets" / "pgchaos.json").read_text())
    for word in DIRECTIVES:
        body = snippets[f"chaos:{word}"]["body"]
        assert is_scenario(re.sub(r"\$\{\d[:|]([^,}|]*)[^}]*\}", r"\1", body))
        assert body.startswith(f"-- chaos:{word}")
    whole = "\n".join(snippets["scenario: race"]["body"])
    assert "-- chaos:session client x ${3:2}" in whole
    assert r"FOR UPDATE \\gset" in whole


def test_the_extension_names_files_that_are_there() -> None:
    contributes = json.loads((EDITORS / "vscode" / "package.json").read_text())["contributes"]
    for one in (*contributes["grammars"], *contributes["snippets"]):
        assert (EDITORS / "vscode" / one["path"]).is_file()
