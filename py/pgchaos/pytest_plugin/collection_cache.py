"""What collection needs to know of each file, cached between runs of pytest."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import pytest

import pgchaos
from pgchaos.language.model import Mutant, Scenario
from pgchaos.language.mutation import mutants_in_force, slug
from pgchaos.language.reader import read, variants
from pgchaos.language.schedules import MOST, interleavings
from pgchaos.language.search_choices import has_floating_fault
from pgchaos.runner.jobs import OWN_CONNECTIONS, Job, Part
from pgchaos.schedule.token import Fingerprints

_DRAWING: tuple[Part, ...] = ("drawing", "searching")

# Each worker of pytest-xdist collects everything; this one writes the cache.
_WRITER = "gw0"

# The rooms whose code decides what a summary holds.
_CODE = ("language", "schedule", "runner", "pytest_plugin")


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What collection needs to know of a file with a scenario."""

    title: str
    tags: tuple[str, ...]  # as written, without 'chaos'
    line: int  # that a skip points to
    notes: tuple[str, ...]
    connections: int  # of an item, at most
    alone: bool  # nothing else may run on the server meanwhile
    permutations: int  # interleavings of an item at most, where the file asks for all of them; else 0
    parts: tuple[Part, ...]  # of the engine that every item needs
    # for each combination of values of the matrix: the scenario ('') and the slugs of its mutants, each with its
    # fingerprint, and whether values are drawn for it
    items: tuple[tuple[Mapping[str, str], tuple[tuple[str, str, bool], ...]], ...]

    def jobs(self, path: Path, shown: str, tags: tuple[str, ...] = (), *, mutants: bool = False) -> Iterator[Job]:
        """List the jobs of the file.

        Args:
            path: of the file.
            shown: the path as reports show it.
            tags: further tags of the project.
            mutants: with the jobs of its mutants.
        """
        for values, names in self.items:
            for name, fingerprint, draws in names if mutants else names[:1]:
                yield Job(
                    path,
                    shown,
                    tags,
                    values,
                    name,
                    self.connections,
                    self.alone,
                    fingerprint,
                    self.permutations,
                    draws,
                    (*self.parts, *_DRAWING) if draws else self.parts,
                )

    def dumps(self) -> str:
        """Write it in one line."""
        return json.dumps([getattr(self, name) for name in self.__slots__], ensure_ascii=False)

    @classmethod
    def loads(cls, text: str) -> FileSummary:
        """Read what `dumps` wrote.

        Raises:
            ValueError, TypeError: it is something else.
        """
        title, tags, line, notes, connections, alone, permutations, parts, items = json.loads(text)
        pairs = tuple((values, tuple((name, of, draws) for name, of, draws in names)) for values, names in items)
        return cls(title, tuple(tags), line, tuple(notes), connections, alone, permutations, tuple(parts), pairs)


def summarize(scenario: Scenario) -> FileSummary:
    """Take from a scenario what collection needs."""
    texts = [scenario.source, *(path.read_text(encoding="utf-8", errors="replace") for path in scenario.includes)]
    fingerprints = Fingerprints(texts)
    items = []
    for values in variants(scenario):
        floating = frozenset(session.name for session in scenario.sessions if has_floating_fault((session,), values))
        names = [("", fingerprints.of(values), bool(scenario.given or floating))]
        for mutant in mutants_in_force(scenario, values):
            name = slug(mutant)
            draws = scenario.given or _mutant_has_floating_fault(mutant, floating, values)
            names.append((name, fingerprints.of(values, name), bool(draws)))
        items.append((values, tuple(names)))
    permutations = 0
    if scenario.schedule.kind == "all":
        most = scenario.schedule.limit or MOST
        permutations = min(interleavings(scenario.sessions, most), most)
    return FileSummary(
        title=scenario.title,
        tags=tuple(sorted(scenario.tags)),
        line=next((requirement.place.line for requirement in scenario.requires), 1),
        notes=tuple(map(str, scenario.notes)),
        connections=OWN_CONNECTIONS + sum(session.count for session in scenario.sessions),
        # a scenario with its own server is alone on it anyway
        alone=(scenario.alone or "destructive" in scenario.tags) and scenario.sandbox != "server",
        permutations=permutations,
        parts=tuple(_parts(scenario)),
        items=tuple(items),
    )


def _parts(scenario: Scenario) -> Iterator[Part]:
    if scenario.oracle is not None:
        yield "oracle"
    if scenario.schedule.kind in ("all", "explore"):
        yield "searching"


def _mutant_has_floating_fault(mutant: Mutant, floating: frozenset[str], values: Mapping[str, str]) -> bool:
    """Whether a session of a mutant has a fault `at any step`; `floating` are those of the scenario that have one."""
    replaced = {session.name for session in mutant.sessions}
    return bool(floating - replaced) or has_floating_fault(mutant.sessions, values)


@dataclass(slots=True)
class _Folder:
    """The cached files of one folder: for each name the digest of its text, followed by its summary."""

    key: str  # in pytest's cache
    before: dict[str, str]  # as the cache was
    now: dict[str, str] = field(default_factory=dict)  # of the files of this run


class CollectionCache:
    """Reads summaries from pytest's cache where they are still valid, and from the files else.

    A summary depends on the text of the file, its path (in notes), the project's tags and the code that reads it: it is
    valid while all of these are the same. A file that includes others, or cannot be read, is not cached, so that its
    errors are reported in every run.

    Args:
        config: of pytest; with `-p no:cacheprovider` it has no cache, and all files are read.
        tags: further tags of the project.
    """

    def __init__(self, config: pytest.Config, tags: tuple[str, ...]) -> None:
        self._cache: pytest.Cache | None = getattr(config, "cache", None)
        self._writes = getattr(config, "workerinput", {}).get("workerid", _WRITER) == _WRITER
        self._tags, self._root = tags, config.rootpath
        self._version = "" if self._cache is None else _code_version(tags)
        self._folders: dict[tuple[str, str], _Folder] = {}

    def summary(self, path: Path, shown: str, raw: bytes | None) -> FileSummary:
        """Read the summary of a file.

        Args:
            path: of the file.
            shown: the path as reports show it.
            raw: its contents, None where it could not be read.

        Raises:
            ScenarioError: it is not a valid scenario.
        """
        if self._cache is None or raw is None:
            return summarize(read(path, shown, extra_tags=self._tags, raw=raw, root=self._root))
        name = path.name
        folder = self._folder(self._cache, str(path).removesuffix(name), shown.removesuffix(name))
        digest = blake2b(raw, digest_size=16).hexdigest()
        entry = folder.before.get(name, "")
        if entry.startswith(digest):
            # an entry that is damaged counts as missing
            with suppress(ValueError, TypeError):
                summary = FileSummary.loads(entry.removeprefix(digest))
                folder.now[name] = entry
                return summary
        scenario = read(path, shown, extra_tags=self._tags, raw=raw, root=self._root)
        summary = summarize(scenario)
        if not scenario.includes:
            folder.now[name] = digest + summary.dumps()
        return summary

    def write(self) -> None:
        """Write the summaries of this run, where any is new."""
        if self._cache is None or not self._writes:
            return
        for (path, _), folder in self._folders.items():
            if folder.now.items() <= folder.before.items():
                continue
            others = {name: entry for name, entry in folder.before.items() if name not in folder.now}
            existing = {name: entry for name, entry in others.items() if Path(path, name).exists()}
            # without the cache the next run is slower, which needs no warning
            with warnings.catch_warnings(), suppress(UnicodeError):
                warnings.simplefilter("ignore", pytest.PytestCacheWarning)
                self._cache.set(folder.key, {"by": self._version, "files": {**existing, **folder.now}})

    def _folder(self, cache: pytest.Cache, path: str, shown: str) -> _Folder:
        folder = self._folders.get((path, shown))
        if folder is None:
            key = "pgchaos/" + blake2b(f"{path}\0{shown}".encode("utf-8", "replace"), digest_size=16).hexdigest()
            entry = cache.get(key, None)
            valid = isinstance(entry, dict) and entry.get("by") == self._version
            folder = self._folders[path, shown] = _Folder(key, entry["files"] if valid else {})
        return folder


_CACHE = pytest.StashKey[CollectionCache]()


def cache_of(config: pytest.Config, tags: tuple[str, ...]) -> CollectionCache:
    """The cache of a run of pytest, which is written when the run ends."""
    cache = config.stash.get(_CACHE, None)
    if cache is None:
        cache = config.stash[_CACHE] = CollectionCache(config, tags)
        config.add_cleanup(cache.write)
    return cache


def code_files() -> list[Path]:
    """The files of the package that decide what a summary holds."""
    package = Path(pgchaos.__file__).parent
    return sorted([*package.glob("*.py"), *(file for room in _CODE for file in package.glob(f"{room}/**/*.py"))])


def _code_version(tags: tuple[str, ...]) -> str:
    # sizes and times too, as the code changes without its version while somebody works on it
    states = [(file.name, (state := file.stat()).st_mtime_ns, state.st_size) for file in code_files()]
    text = repr((pgchaos.__version__, sys.hexversion, tags, states))
    return blake2b(text.encode(), digest_size=16).hexdigest()
