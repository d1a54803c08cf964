"""Which files a pytest run takes for scenarios, and the items they become.

Installing the package runs nobody's SQL: see `wanted`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from pgchaos.language.plain_files import prints_tap
from pgchaos.language.problems import ScenarioError
from pgchaos.language.reader import is_scenario, tags_in
from pgchaos.pytest_plugin.collected import Facts
from pgchaos.pytest_plugin.collection_cache import kept_in
from pgchaos.pytest_plugin.items import NOTE, ScenarioItem, broken_call, scenario_call
from pgchaos.pytest_plugin.options import MARKERS, Options
from pgchaos.pytest_plugin.scheduling import is_named
from pgchaos.report import item_name
from pgchaos.runner.jobs import Job
from pgchaos.runner.runner import Runner
from pgchaos.safe_output import one_line, printable

_SQL = frozenset({".sql", ".pg", ".pgsql", ".psql"})
"""What files of SQL are called: one that is named is run, whatever it says."""
_BEGINS_SQL = re.compile(r"^\s*(?:SELECT|BEGIN|VALUES|CREATE|SET|COPY|\\[a-z]+)\b", re.IGNORECASE | re.MULTILINE)


class ScenarioFile(pytest.Module):
    """A file of SQL; its items are its scenario, once for each value of its matrix.

    A Module without Python in it: fixtures of a project that are one for each module, and are used by all, are set up
    for what stands in one.
    """

    options: Options
    runner: Runner
    raw: bytes | None = None
    """What it holds, until it is collected."""
    plain: bool = False
    """It has no directives."""
    prints: bool = True
    """It has directives, or seems to print TAP."""

    def collect(self) -> Iterator[ScenarioItem]:
        """Read the file."""
        shown = shown_of(self.path, self.config)
        raw, self.raw = self.raw, None
        if not self.prints and self.options.server.in_place:
            # in a database of the user's nothing is tried out
            what = "holds no `-- chaos:` directive and no plan of TAP: it is not run in a database of yours"
            yield self._broken(f"{shown}:1: the file {what}", raw)
            return
        try:
            facts = kept_in(self.config, self.options.tags).facts(self.path, shown, raw)
        except ScenarioError as error:
            yield self._broken(str(error), raw)
            return
        for job in facts.jobs(self.path, shown, self.options.tags, mutants=self.options.mutants):
            for repetition in repetitions(self.config):
                yield self._item(facts, job, repetition)

    def _item(self, facts: Facts, job: Job, repetition: str) -> ScenarioItem:
        call = scenario_call(self.runner, self.options)
        own = item_name(self.path.stem, job.variables, job.mutant)
        name = item_name(self.path.stem, job.variables, job.mutant, repetition)
        item: ScenarioItem = ScenarioItem.from_parent(self, name=name, callobj=call)
        item.repeated = own if repetition else None
        item.job = replace(job, root=self.config.rootpath, kept=self.plain and self.options.pgtap_keep)
        item.title = facts.title
        item.user_properties += [(NOTE, one_line(note)) for note in facts.notes]
        item.line = facts.line
        _mark(item, facts.tags)
        return item

    def _broken(self, text: str, raw: bytes | None) -> ScenarioItem:
        if self.config.getoption("collectonly"):
            raise self.CollectError(printable(text))
        item: ScenarioItem = ScenarioItem.from_parent(self, name=self.path.stem, callobj=broken_call(text))
        # its tags as far as they can be told, so that -m finds it too
        _mark(item, tags_in(_text(raw)) & {*MARKERS, *self.options.tags})
        return item


def repetitions(config: pytest.Config) -> list[str]:
    """List what pytest-repeat's `--count` adds to the name of a test, for each time that it is run.

    It repeats functions by parametrizing them, which items of files have not.
    """
    count = config.getoption("count", None)
    # others may have an option of that name
    if config.getoption("repeat_scope", None) is None or not isinstance(count, int) or count < 2:
        return [""]
    return [f"{number}-{count}" for number in range(1, count + 1)]


class Wanted(NamedTuple):
    """A file that is to be collected.

    Args:
        kind: what it is collected as.
        raw: what it holds; None where it cannot be read.
        prints: it seems to print TAP.
    """

    kind: Literal["scenario", "pgtap"]
    raw: bytes | None
    prints: bool = True


def is_wanted_spec(path: Path, session: pytest.Session, options: Options) -> bool:
    """Say whether an isolation spec is to be collected.

    One that is named itself is, and with --chaos-pgtap those wherever a scenario would be. What is called `.spec` and
    looks like no isolation spec (RPM's, PyInstaller's) never is.
    """
    from pgchaos.isolation.grammar import is_spec

    if not is_named(path, session):
        found = _below(path, options.paths) or (options.named and _in_named_folder(path, session))
        if not (options.pgtap_files and found):
            return False
    try:
        return is_spec(_text(path.read_bytes()))
    except OSError:
        return False


def wanted(path: Path, session: pytest.Session, options: Options) -> Wanted | None:
    """Say whether a file is to be collected.

    A file with a directive is, if it lies under `chaos_paths`, or is named on the command line or below a folder that
    is. A file of SQL without directive is, if it is named itself, whether or not it seems to print TAP; one that seems
    to is with --chaos-pgtap too, wherever one with a directive would be. Nothing else is.
    """
    named = is_named(path, session)
    if not (named or _below(path, options.paths) or (options.named and _in_named_folder(path, session))):
        return None
    try:
        raw = path.read_bytes()
    except OSError:
        # the reader tells of it
        return Wanted("scenario", None)
    text = _text(raw)
    if is_scenario(text):
        return Wanted("scenario", raw)
    # prose speaks of a plan (or two) as well
    is_sql = path.suffix in _SQL or _BEGINS_SQL.search(text) is not None
    prints = (named or options.pgtap_files) and is_sql and prints_tap(path, text)
    return Wanted("pgtap", raw, prints) if prints or (named and path.suffix in _SQL) else None


def _below(path: Path, folders: tuple[Path, ...]) -> bool:
    return str(path).startswith(_beginnings(folders))


@lru_cache(maxsize=8)
def _beginnings(folders: tuple[Path, ...]) -> tuple[str, ...]:
    ways = (way for folder in folders for way in (os.path.normpath(folder), str(folder.resolve())))
    return tuple(os.path.join(way, "") for way in ways)  # noqa: PTH118 a Path would drop the slash at the end


def _in_named_folder(path: Path, session: pytest.Session) -> bool:
    # `pytest .` names nothing: it is what `pytest` alone would do
    start = session.config.invocation_params.dir
    return any(session.isinitpath(folder) for folder in path.parents if folder != start)


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")


def shown_of(path: Path, config: pytest.Config) -> str:
    """Give the path of a file as users are told of it: relative to where pytest was called."""
    return str(path).removeprefix(os.path.join(config.invocation_params.dir, ""))  # noqa: PTH118 as above


def _mark(item: pytest.Item, tags: Collection[str]) -> None:
    for tag in sorted({"chaos", *tags}):
        item.add_marker(tag)
