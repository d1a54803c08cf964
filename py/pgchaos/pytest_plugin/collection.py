"""Decides which files pytest collects, and creates their items. Loaded only for projects with such files."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

import pytest

from pgchaos.language.problems import ScenarioError
from pgchaos.pytest_plugin.collection_run import Run, run_of
from pgchaos.pytest_plugin.file_summary import FileSummary
from pgchaos.pytest_plugin.items import broken_call, spec_call
from pgchaos.pytest_plugin.options import MARKERS
from pgchaos.pytest_plugin.reports import shown_path
from pgchaos.pytest_plugin.scenario_item import NOTE, SQL_SUFFIXES, ScenarioItem
from pgchaos.pytest_plugin.scheduling import is_named
from pgchaos.pytest_plugin.stash import OPTIONS
from pgchaos.report.replay import item_name
from pgchaos.runner.jobs import Job
from pgchaos.runner.specs import spec_job
from pgchaos.safe_output import one_line, printable

_SQL_COMMAND = re.compile(r"^\s*(?:SELECT|BEGIN|VALUES|CREATE|SET|COPY|\\[a-z]+)\b", re.IGNORECASE | re.MULTILINE)
_FIRST_LINE = re.compile(r"^(?!#?[ \t]*$)[^\n]*", re.MULTILINE)  # the first line that is not blank


class ScenarioFile(pytest.Module):
    """A file of SQL, with an item for each combination of matrix values, and for each mutant of these.

    It is a Module, although it contains no Python, so that autouse fixtures of module scope are set up for it.
    """

    run: Run
    shown: str  # the path as reports show it
    raw: bytes | None = None  # its contents, until collect() is called
    summary: FileSummary | None = None  # the cached one, until collect() is called; None if the file must be read
    plain: bool = False  # it has no directives
    prints_tap: bool = True  # it has directives, or appears to print TAP

    def collect(self) -> Iterator[ScenarioItem]:
        """Read the file."""
        shown, options = self.shown, self.run.options
        raw, self.raw = self.raw, None
        summary, self.summary = self.summary, None
        if not self.prints_tap and options.server.in_place:
            # a file that may not be a test must not change the user's database
            what = "has no `-- chaos:` directive and no TAP plan, so it is not run in place, in a database of yours"
            yield self._broken(f"{shown}:1: the file {what}", raw)
            return
        if summary is None:
            try:
                summary = self.run.cache.read(self.path, shown, raw, plain=self.plain)
            except ScenarioError as error:
                yield self._broken(str(error), raw)
                return
        in_suite, root = self.plain and options.pgtap_keep, self.config.rootpath
        jobs = summary.jobs(
            self.path,
            shown,
            options.tags,
            mutants=options.mutants,
            root=root,
            in_suite=in_suite,
            constants=options.constants,
        )
        for job in jobs:
            for repetition in self.run.repetitions:
                yield self._item(summary, job, repetition)

    def _item(self, summary: FileSummary, job: Job, repetition: str) -> ScenarioItem:
        stem = self.path.stem
        name = once = item_name(stem, job.variables, job.mutant)
        if repetition:
            name = item_name(stem, job.variables, job.mutant, repetition)
        item = self.run.item(self, name, self.run.call, summary.tags)
        item.unrepeated_name = once if repetition else None
        item.job = job
        item.title = summary.title
        item.user_properties += [(NOTE, one_line(note)) for note in summary.notes]
        item.line = summary.line
        return item

    def _broken(self, text: str, raw: bytes | None) -> ScenarioItem:
        from pgchaos.language.reader import tags_in

        # with the tags that can be read, so that -m selects it too
        return _broken(self, self.path.stem, text, tags_in(_decoded(raw)) & {*MARKERS, *self.run.options.tags})


class SpecFile(pytest.Module):
    """An isolation spec; it has one item."""

    run: Run
    shown: str  # the path as reports show it

    def collect(self) -> Iterator[ScenarioItem]:
        """Read the file."""
        from pgchaos.isolation.grammar import read

        name = self.path.name.removesuffix(".spec")
        try:
            spec = read(self.path, self.shown)
        except ScenarioError as error:
            yield _broken(self, name, str(error))
            return
        options, call = self.run.options, spec_call(self.run.runner)
        first = _FIRST_LINE.search(spec.source)
        for repetition in self.run.repetitions:
            item = self.run.item(self, item_name(name, {}, "", repetition), call)
            item.unrepeated_name = name if repetition else None
            item.job = spec_job(
                spec, options.spec_timeout, accept=options.accept, load_extensions=options.load_extensions
            )
            item.title = first[0][1:].lstrip(" \t") if first and first[0].startswith("#") else ""
            yield item


def _broken(file: ScenarioFile | SpecFile, name: str, text: str, tags: Collection[str] = ()) -> ScenarioItem:
    """Make the item of a file that cannot be read; with --collect-only, fail at once."""
    if file.config.getoption("collectonly"):
        raise file.CollectError(printable(text)) from None
    return file.run.item(file, name, broken_call(text), tags)


class _Kind(NamedTuple):
    """How a file is collected."""

    kind: Literal["scenario", "pgtap"]
    raw: bytes | None  # its contents; None if it cannot be read
    prints_tap: bool = True
    summary: FileSummary | None = None  # the cached one


def scenario_file(path: Path, parent: pytest.Collector, *, others: bool, pytest_pgtap: bool) -> ScenarioFile | None:
    """Return the collector of a file of SQL, or None if the file is not collected.

    `others`: other plugins collect it too. --chaos-pgtap replaces the collector of pytest-pgtap.
    """
    run, shown = run_of(parent.config), shown_path(path, parent.config)
    kind = _kind(path, shown, parent.session, run)
    if kind is None:
        return None
    plain = kind.kind == "pgtap"
    if plain and ((pytest_pgtap and not run.options.pgtap_files) or (others and not kind.prints_tap)):
        return None
    file: ScenarioFile = ScenarioFile.from_parent(parent, path=path)
    file.run, file.shown = run, shown
    file.raw, file.summary = kind.raw, kind.summary
    file.plain, file.prints_tap = plain, kind.prints_tap
    file.obj = ModuleType(path.stem)
    return file


def spec_file(path: Path, parent: pytest.Collector) -> SpecFile | None:
    """Return the collector of an isolation spec, or None if the file is not collected.

    A spec is collected if it is named itself, and with --chaos-pgtap wherever a scenario would be; a broken or empty
    one too. A `.spec` file of another kind (such as RPM's and PyInstaller's) is never collected.
    """
    from pgchaos.isolation.grammar import is_spec

    options = parent.config.stash[OPTIONS]
    if not is_named(path, parent.session):
        found = _is_below(path, parent.config) or (options.has_paths and _is_in_named_folder(path, parent.session))
        if not (options.pgtap_files and found):
            return None
    with contextlib.suppress(OSError):  # reading it reports the error
        if not is_spec(_decoded(path.read_bytes())):
            return None
    file: SpecFile = SpecFile.from_parent(parent, path=path)
    file.run, file.shown = run_of(parent.config), shown_path(path, parent.config)
    file.obj = ModuleType(path.stem)
    return file


def _kind(path: Path, shown: str, session: pytest.Session, run: Run) -> _Kind | None:
    """Decide how a file is collected; None if it is not.

    Installing the package must not make pytest run SQL. So a file with a directive is collected if it is below
    `chaos_paths`, is an argument, or is below a folder that is an argument. A file without a directive is collected if
    it is an argument, and with --chaos-pgtap if it appears to print TAP and a file with a directive would be collected.
    """
    named, options = is_named(path, session), run.options
    if not (named or _is_below(path, session.config) or (options.has_paths and _is_in_named_folder(path, session))):
        return None
    try:
        raw = path.read_bytes()
    except OSError:
        # the reader reports the error
        return _Kind("scenario", None)
    summary = run.cache.stored(path, shown, raw)
    if summary is not None and not summary.plain:
        return _Kind("scenario", raw, summary=summary)
    # imported here because it takes long: not needed if every file is cached
    from pgchaos.language.plain_files import prints_tap
    from pgchaos.language.reader import is_scenario

    text = _decoded(raw)
    if is_scenario(text, path):
        return _Kind("scenario", raw)
    # prose that mentions a TAP plan is not SQL
    is_sql = path.suffix in SQL_SUFFIXES or _SQL_COMMAND.search(text) is not None
    prints = (named or options.pgtap_files) and is_sql and prints_tap(path, text)
    return _Kind("pgtap", raw, prints, summary) if prints or (named and path.suffix in SQL_SUFFIXES) else None


_PREFIXES = pytest.StashKey[tuple[str, ...]]()  # cached, because it is needed for each file


def _is_below(path: Path, config: pytest.Config) -> bool:
    """Whether a file is below a folder whose scenarios are always collected."""
    if _PREFIXES not in config.stash:
        config.stash[_PREFIXES] = _prefixes(config.stash[OPTIONS].paths)
    return str(path).startswith(config.stash[_PREFIXES])


def _prefixes(folders: tuple[Path, ...]) -> tuple[str, ...]:
    spellings = (text for folder in folders for text in (os.path.normpath(folder), str(folder.resolve())))
    return tuple(os.path.join(text, "") for text in spellings)  # noqa: PTH118 a Path would drop the slash at the end


def _is_in_named_folder(path: Path, session: pytest.Session) -> bool:
    # `pytest .` is the same as `pytest`
    start = session.config.invocation_params.dir
    return any(session.isinitpath(folder) for folder in path.parents if folder != start)


def _decoded(raw: bytes | None) -> str:
    # a directive in UTF-16 is found too: the reader refuses the file
    return (raw or b"").replace(b"\0", b"").decode(errors="replace")
