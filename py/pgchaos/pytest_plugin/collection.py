"""Which files a run of pytest collects, and their items. Loaded only for projects that have such files."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

import pytest

from pgchaos.language.plain_files import prints_tap
from pgchaos.language.problems import ScenarioError
from pgchaos.language.reader import is_scenario, tags_in
from pgchaos.pytest_plugin.collection_cache import FileSummary, cache_of
from pgchaos.pytest_plugin.items import NOTE, ScenarioItem, broken_call, scenario_call, spec_call
from pgchaos.pytest_plugin.options import MARKERS, Options
from pgchaos.pytest_plugin.scheduling import is_named
from pgchaos.pytest_plugin.stash import OPTIONS, RUNNER
from pgchaos.report.replay import item_name
from pgchaos.runner.jobs import Job
from pgchaos.runner.runner import Runner
from pgchaos.runner.specs import spec_job
from pgchaos.safe_output import one_line, printable

_SQL_SUFFIXES = frozenset({".sql", ".pg", ".pgsql", ".psql"})
_SQL_COMMAND = re.compile(r"^\s*(?:SELECT|BEGIN|VALUES|CREATE|SET|COPY|\\[a-z]+)\b", re.IGNORECASE | re.MULTILINE)
_FIRST_LINE = re.compile(r"^(?!#?[ \t]*$)[^\n]*", re.MULTILINE)  # the first line that is not blank


class ScenarioFile(pytest.Module):
    """A file of SQL: one item for each combination of values of its matrix, and for each mutant of these.

    It is a Module, although it holds no Python, so that autouse fixtures of module scope are set up for it.
    """

    options: Options
    runner: Runner
    raw: bytes | None = None  # its contents, until it is collected
    plain: bool = False  # it has no directives
    prints_tap: bool = True  # it has directives, or seems to print TAP

    def collect(self) -> Iterator[ScenarioItem]:
        """Read the file."""
        shown = shown_path(self.path, self.config)
        raw, self.raw = self.raw, None
        if not self.prints_tap and self.options.server.in_place:
            # the user's database must not be changed by a file that may not be a test
            what = "has no `-- chaos:` directive and no TAP plan, so it is not run in place, in a database of yours"
            yield self._broken(f"{shown}:1: the file {what}", raw)
            return
        try:
            summary = cache_of(self.config, self.options.tags).summary(self.path, shown, raw)
        except ScenarioError as error:
            yield self._broken(str(error), raw)
            return
        for job in summary.jobs(self.path, shown, self.options.tags, mutants=self.options.mutants):
            for repetition in _repetitions(self.config):
                yield self._item(summary, job, repetition)

    def _item(self, summary: FileSummary, job: Job, repetition: str) -> ScenarioItem:
        once = item_name(self.path.stem, job.variables, job.mutant)
        name = item_name(self.path.stem, job.variables, job.mutant, repetition)
        call = scenario_call(self.runner, self.options)
        item: ScenarioItem = ScenarioItem.from_parent(self, name=name, callobj=call)
        item.name_once = once if repetition else None
        item.job = replace(job, root=self.config.rootpath, in_suite=self.plain and self.options.pgtap_keep)
        item.title = summary.title
        item.user_properties += [(NOTE, one_line(note)) for note in summary.notes]
        item.line = summary.line
        _add_markers(item, summary.tags)
        return item

    def _broken(self, text: str, raw: bytes | None) -> ScenarioItem:
        if self.config.getoption("collectonly"):
            raise self.CollectError(printable(text))
        item: ScenarioItem = ScenarioItem.from_parent(self, name=self.path.stem, callobj=broken_call(text))
        # its tags, as far as they can be read, so that -m selects it too
        _add_markers(item, tags_in(_decoded(raw)) & {*MARKERS, *self.options.tags})
        return item


class SpecFile(pytest.Module):
    """An isolation spec; it has one item."""

    options: Options
    runner: Runner

    def collect(self) -> Iterator[ScenarioItem]:
        """Read the file."""
        from pgchaos.isolation.grammar import read

        name = self.path.name.removesuffix(".spec")
        try:
            spec = read(self.path, shown_path(self.path, self.config))
        except ScenarioError as error:
            if self.config.getoption("collectonly"):
                raise self.CollectError(printable(str(error))) from None
            broken: ScenarioItem = ScenarioItem.from_parent(self, name=name, callobj=broken_call(str(error)))
            _add_markers(broken, ())
            yield broken
            return
        options, first = self.options, _FIRST_LINE.search(spec.source)
        for repetition in _repetitions(self.config):
            item: ScenarioItem = ScenarioItem.from_parent(
                self, name=item_name(name, {}, "", repetition), callobj=spec_call(self.runner)
            )
            item.name_once = name if repetition else None
            item.job = spec_job(
                spec, options.spec_timeout, accept=options.accept, load_extensions=options.load_extensions
            )
            item.title = first[0][1:].lstrip(" \t") if first and first[0].startswith("#") else ""
            _add_markers(item, ())
            yield item


def _repetitions(config: pytest.Config) -> list[str]:
    """What pytest-repeat's `--count` adds to the name of each repetition of a test.

    pytest-repeat parametrizes functions, so it does not repeat these items.
    """
    count = config.getoption("count", None)
    # another plugin may have an option of that name
    if config.getoption("repeat_scope", None) is None or not isinstance(count, int) or count < 2:
        return [""]
    return [f"{number}-{count}" for number in range(1, count + 1)]


class _Kind(NamedTuple):
    """How a file is collected."""

    kind: Literal["scenario", "pgtap"]
    raw: bytes | None  # its contents; None where it cannot be read
    prints_tap: bool = True


def scenario_file(path: Path, parent: pytest.Collector, *, others: bool, pytest_pgtap: bool) -> ScenarioFile | None:
    """The collector of a file of SQL, or None where the file is not collected.

    Args:
        path: of the file.
        parent: of the collector.
        others: another plugin collects the file too.
        pytest_pgtap: that plugin is pytest-pgtap, whose collector is replaced with --chaos-pgtap.
    """
    stash = parent.config.stash
    options = stash[OPTIONS]
    kind = _kind(path, parent.session, options)
    if kind is None:
        return None
    plain = kind.kind == "pgtap"
    if plain and ((pytest_pgtap and not options.pgtap_files) or (others and not kind.prints_tap)):
        return None
    file: ScenarioFile = ScenarioFile.from_parent(parent, path=path)
    file.options, file.runner, file.raw = options, stash[RUNNER], kind.raw
    file.plain, file.prints_tap = plain, kind.prints_tap
    file.obj = ModuleType(path.stem)
    return file


def spec_file(path: Path, parent: pytest.Collector) -> SpecFile | None:
    """The collector of an isolation spec, or None where the file is not collected.

    A spec is collected if it is named itself, and with --chaos-pgtap wherever a scenario would be. A `.spec` file that
    does not look like an isolation spec (RPM's, PyInstaller's) never is.
    """
    from pgchaos.isolation.grammar import is_spec

    options = parent.config.stash[OPTIONS]
    if not is_named(path, parent.session):
        found = _is_below(path, parent.config) or (options.named and _is_in_named_folder(path, parent.session))
        if not (options.pgtap_files and found):
            return None
    try:
        if not is_spec(_decoded(path.read_bytes())):
            return None
    except OSError:
        return None
    file: SpecFile = SpecFile.from_parent(parent, path=path)
    file.options, file.runner = options, parent.config.stash[RUNNER]
    file.obj = ModuleType(path.stem)
    return file


def _kind(path: Path, session: pytest.Session, options: Options) -> _Kind | None:
    """How a file is collected, or None.

    Installing the package must not run any SQL: a file with a directive is collected if it is below `chaos_paths`, is
    named on the command line, or is below a named folder. Without a directive it is collected if it is named itself,
    and with --chaos-pgtap if it seems to print TAP and a file with a directive would be collected there.
    """
    named = is_named(path, session)
    if not (named or _is_below(path, session.config) or (options.named and _is_in_named_folder(path, session))):
        return None
    try:
        raw = path.read_bytes()
    except OSError:
        # the reader reports the error
        return _Kind("scenario", None)
    text = _decoded(raw)
    if is_scenario(text):
        return _Kind("scenario", raw)
    # prose that mentions a TAP plan is not SQL
    is_sql = path.suffix in _SQL_SUFFIXES or _SQL_COMMAND.search(text) is not None
    prints = (named or options.pgtap_files) and is_sql and prints_tap(path, text)
    return _Kind("pgtap", raw, prints) if prints or (named and path.suffix in _SQL_SUFFIXES) else None


_PREFIXES = pytest.StashKey[tuple[str, ...]]()  # asked for each file that is collected


def _is_below(path: Path, config: pytest.Config) -> bool:
    """Whether a file is below a folder whose scenarios are collected without being named."""
    if _PREFIXES not in config.stash:
        config.stash[_PREFIXES] = _prefixes(config.stash[OPTIONS].paths)
    return str(path).startswith(config.stash[_PREFIXES])


def _prefixes(folders: tuple[Path, ...]) -> tuple[str, ...]:
    spellings = (text for folder in folders for text in (os.path.normpath(folder), str(folder.resolve())))
    return tuple(os.path.join(text, "") for text in spellings)  # noqa: PTH118 a Path would drop the slash at the end


def _is_in_named_folder(path: Path, session: pytest.Session) -> bool:
    # `pytest .` is the same as `pytest`: it names no folder
    start = session.config.invocation_params.dir
    return any(session.isinitpath(folder) for folder in path.parents if folder != start)


def _decoded(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")


def shown_path(path: Path, config: pytest.Config) -> str:
    """The path of a file as reports show it: relative to where pytest was called."""
    return str(path).removeprefix(os.path.join(config.invocation_params.dir, ""))  # noqa: PTH118 as above


def _add_markers(item: pytest.Item, tags: Collection[str]) -> None:
    for tag in sorted({"chaos", *tags}):
        item.add_marker(tag)
