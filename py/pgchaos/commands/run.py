"""`pgchaos run` and `pgchaos replay`: they call pytest."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from pgchaos.commands.errors import CommandError
from pgchaos.commands.project import project_of
from pgchaos.language.file_text import Unreadable, text_of
from pgchaos.language.problems import ScenarioError
from pgchaos.language.reader import is_scenario, read, tags_in
from pgchaos.pytest_plugin.plugin import pytest_addoption
from pgchaos.pytest_plugin.summarize import summarize
from pgchaos.pytest_plugin.token_file import read_token
from pgchaos.report.replay import item_name
from pgchaos.schedule.token import Token

_DEFAULT_PATHS = ("-p", "pgchaos.commands.default_paths")


def run(options: argparse.Namespace) -> int:
    """Run pytest with all arguments after `run`."""
    return int(pytest.main([*_DEFAULT_PATHS, *options.words]))


def replay(options: argparse.Namespace) -> int:
    """Run pytest with the item of a token."""
    if not options.words or options.words[0].startswith("-"):
        raise CommandError("the token is missing: it ends the report of a failure, such as c3f09a1b3a97-g4x2k-0110")
    text, words = options.words[0], options.words[1:]
    try:
        token = read_token(text, Path.cwd())
    except ValueError as error:
        raise CommandError(str(error)) from None
    paths = [word for word in words if not word.startswith("-") and Path(word).exists()]
    passed = [word for word in words if word not in paths]
    found = next(
        _items(token, [Path(path) for path in paths] or project_of(Path.cwd()).paths, _constants(passed)), None
    )
    if found is None:
        # pytest handles more options than this search, or reports what is wrong
        chosen = [*paths, "--chaos-mutants"]
    else:
        target, mutant = found
        print(f"pgchaos replay: {target}", flush=True)
        chosen = [target, *(["--chaos-mutants"] if mutant else [])]
    return int(pytest.main([*_DEFAULT_PATHS, *chosen, f"--chaos-replay={text}", *passed]))


def _constants(words: Sequence[str]) -> dict[str, str]:
    """Return the psql variables that options set: they are part of a scenario's fingerprint."""
    values = [word.removeprefix("--chaos-set=") for word in words if word.startswith("--chaos-set=")]
    values += [word for before, word in pairwise(words) if before == "--chaos-set"]
    return {name: value for name, _, value in (one.partition("=") for one in values)}


def _items(token: Token, paths: Sequence[Path], constants: dict[str, str]) -> Iterator[tuple[str, bool]]:
    """Find the items of a token: their ids for pytest, and whether each is a mutant."""
    for path in scenario_files(paths):
        try:
            text = text_of(path)
            if not is_scenario(text, path):
                continue
            summary = summarize(read(path, extra_tags=tags_in(text), constants=constants), constants)
        except (ScenarioError, Unreadable):
            # only files without mistakes have tokens
            continue
        for job in summary.jobs(path, str(path), mutants=True):
            if job.fingerprint == token.of:
                yield f"{path}::{item_name(path.stem, job.variables, job.mutant)}", bool(job.mutant)


def scenario_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Return the files, and those in the folders, in order."""
    for path in paths:
        yield from sorted(path.rglob("*.sql")) if path.is_dir() else [path]


class _Recorder:
    """Stands in for pytest's parser, and records the plugin's options."""

    def __init__(self) -> None:
        self.options: list[tuple[str, dict[str, Any]]] = []

    def getgroup(self, *_: str) -> _Recorder:
        """Return itself: there is one group."""
        return self

    def addoption(self, flag: str, **settings: Any) -> None:  # noqa: ANN401 as argparse takes them
        """Record an option."""
        self.options.append((flag, settings))

    def addini(self, *_: object, **__: object) -> None:
        """Ignore ini keys: each has the name of its option."""


def recorded_options() -> list[tuple[str, dict[str, Any]]]:
    """List the options that pgchaos adds to pytest, with their settings for argparse."""
    recorder = _Recorder()
    pytest_addoption(cast(pytest.Parser, recorder))
    return recorder.options


def plugin_options() -> str:
    """Describe the options that pgchaos adds to pytest."""
    parser = argparse.ArgumentParser("pgchaos run", add_help=False)
    group = parser.add_argument_group(
        "options of pgchaos, beside pytest's own, such as -v, -x, -k WORDS, -m TAG, -n 4 (all: pytest --help)"
    )
    for flag, settings in recorded_options():
        group.add_argument(flag, **settings)
    return parser.format_help().partition("\n\n")[2]
