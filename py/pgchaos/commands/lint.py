"""`pgchaos lint`: finds mistakes and probable mistakes in scenarios, without a server."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pgchaos.commands.errors import DONE, FOUND, CommandError
from pgchaos.commands.findings import RULES, Finding
from pgchaos.commands.lint_rules import warnings_of
from pgchaos.commands.project import project_of
from pgchaos.commands.suppressions import apply_suppressions
from pgchaos.commands.wrapping import terminal_width
from pgchaos.language.file_text import Unreadable, text_of
from pgchaos.language.model import Scenario
from pgchaos.language.problems import LANGUAGE, Place, ScenarioError
from pgchaos.language.reader import is_scenario, read
from pgchaos.report.wrapping import fitted
from pgchaos.safe_output import one_line


def lint(options: argparse.Namespace) -> int:
    """Print each finding in a line."""
    if options.rules:
        width = terminal_width()
        for name, rule in RULES.items():
            print(fitted(f"{name:<16} {'error' if rule.is_error else 'warning':<8} {rule.what}", width, 26))
        return DONE
    project = project_of(Path.cwd())
    paths = [Path(path) for path in options.paths] or list(project.paths)
    tags = (*project.tags, *options.tag)
    found = [finding for path in _files(paths) for finding in findings(path, tags)]
    for finding in found:
        # on one line each: an editor parses its beginning
        print(one_line(str(finding)))
    return FOUND if any(options.strict or finding.is_error for finding in found) else DONE


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise CommandError(f"there is no file or folder {path}")
        if not path.is_dir():
            yield path
            continue
        files = sorted(path.rglob("*.sql"))
        if not any(map(_is_scenario, files)):
            raise CommandError(f"no file in {path} or below it is a scenario: a scenario has a `-- chaos:` directive")
        yield from files


def _is_scenario(path: Path) -> bool:
    try:
        return is_scenario(text_of(path), path)
    except Unreadable:
        return True  # it is reported


def findings(path: Path, tags: Collection[str]) -> list[Finding]:
    """List the findings in one file, which may have these further tags; none if it has no directive."""
    scenario, errors = read_scenario(path, tags)
    if scenario is None:
        return errors
    return apply_suppressions(scenario, sorted(warnings_of(scenario), key=lambda one: one.place))


def read_scenario(path: Path, tags: Collection[str]) -> tuple[Scenario | None, list[Finding]]:
    """Read a file, which may have these further tags, and list the mistakes that prevent a run.

    The scenario is None if the file has no directive or has mistakes.
    """
    try:
        if not is_scenario(text_of(path), path):
            return None, []
        scenario = read(path, extra_tags=tags)
    except Unreadable as error:
        return None, [Finding(Place(str(path), error.line), LANGUAGE, f"the file {error}", is_error=True)]
    except ScenarioError as error:
        return None, [Finding(one.place, one.rule, one.text, is_error=True) for one in error.problems]
    return scenario, []
