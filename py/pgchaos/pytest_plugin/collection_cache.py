"""Summaries of the files of a collection, cached between runs of pytest."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import pgchaos
from pgchaos.language.problems import ScenarioError
from pgchaos.pytest_plugin.file_summary import FileSummary

# Each worker of pytest-xdist collects everything; this one writes the cache.
_WRITER = "gw0"

# The rooms whose code decides what a summary holds, and the libraries that this code asks.
_CODE = ("language", "schedule", "runner", "pytest_plugin")
_LIBRARIES = ("psycopg", "sqlparse")

# Commands that read another file, of which a branch of an \if may not have read any.
_READS_OTHERS = re.compile(r"\\(?:i|ir|include|include_relative|copy)(?![^\W\d_])")


@dataclass(slots=True)
class _Folder:
    """The cached files of one folder: for each name the digest of its text, and its summary."""

    key: str  # in pytest's cache
    before: dict[str, list[Any]]  # as the cache was
    now: dict[str, list[Any]] = field(default_factory=dict)  # of the files of this run


class CollectionCache:
    """Reads summaries from pytest's cache where they are still valid, and from the files else.

    A summary depends on the text of the file, its path (in notes), the project's tags and the code that reads it: it is
    valid while all of these are the same. The text is compared by a hash of all of it, never by size and time, so that
    no edit is missed. A file that reads others, or has a mistake, is not cached, so that both are seen in every run.
    With `-p no:cacheprovider`, or variables of --chaos-set (`constants`), all files are read.
    """

    def __init__(self, config: pytest.Config, tags: tuple[str, ...], constants: Mapping[str, str]) -> None:
        # with variables a file may be another scenario, and each file is asked which of them it uses
        self._cache: pytest.Cache | None = None if constants else getattr(config, "cache", None)
        self._constants = constants
        self.unused = set(constants)
        self._writes = getattr(config, "workerinput", {}).get("workerid", _WRITER) == _WRITER
        self._tags, self._root = tags, config.rootpath
        self._version = "" if self._cache is None else _code_version(tags)
        self._folders: dict[tuple[str, str], _Folder] = {}

    def stored(self, path: Path, shown: str, raw: bytes) -> FileSummary | None:
        """Return the summary of a file with these contents, as reports show it; None where it must be read."""
        if self._cache is None:
            return None
        name = path.name
        folder = self._folder(self._cache, path, shown)
        entry = folder.before.get(name, [])
        # an entry that is damaged counts as missing
        with suppress(ValueError, TypeError):
            digest, summary = entry
            if digest == _digest(raw):
                read = FileSummary.from_json(summary)
                folder.now[name] = entry
                return read
        return None

    def read(self, path: Path, shown: str, raw: bytes | None, *, plain: bool) -> FileSummary:
        """Read a file, and store its summary; ScenarioError where it is not a valid scenario.

        Its contents are None where they could not be read. `plain`: it is collected as a file without directives.
        """
        # they take long to load: where every file is stored, nothing needs them
        from pgchaos.language.constants import names_used
        from pgchaos.language.reader import read
        from pgchaos.pytest_plugin.summarize import summarize, texts_of

        given = self._constants
        try:
            scenario = read(path, shown, extra_tags=self._tags, raw=raw, root=self._root, constants=given)
        except ScenarioError:
            # it may use them all
            self.unused.clear()
            raise
        if self.unused:
            self.unused -= names_used(texts_of(scenario))
        summary = summarize(scenario, given)
        alone = summary.plain is plain and not _READS_OTHERS.search(scenario.source)
        if self._cache is not None and raw is not None and alone:
            self._folder(self._cache, path, shown).now[path.name] = [_digest(raw), summary.to_json()]
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
                # a text, because pytest's own way to write lists is slow and spends a line on each value
                files = json.dumps({**existing, **folder.now}, ensure_ascii=False)
                self._cache.set(folder.key, {"by": self._version, "files": files})

    def _folder(self, cache: pytest.Cache, file: Path, file_shown: str) -> _Folder:
        path, shown = str(file).removesuffix(file.name), file_shown.removesuffix(file.name)
        folder = self._folders.get((path, shown))
        if folder is None:
            key = "pgchaos/" + blake2b(f"{path}\0{shown}".encode("utf-8", "replace"), digest_size=16).hexdigest()
            folder = self._folders[path, shown] = _Folder(key, self._files(cache.get(key, None)))
        return folder

    def _files(self, entry: Any) -> dict[str, list[Any]]:  # noqa: ANN401 whatever is stored
        files = None
        if isinstance(entry, dict) and entry.get("by") == self._version:
            with suppress(ValueError, TypeError):
                files = json.loads(entry.get("files", ""))
        return files if isinstance(files, dict) else {}


def _digest(raw: bytes) -> str:
    return blake2b(raw, digest_size=16).hexdigest()


def code_files() -> list[Path]:
    """The files of the package that decide what a summary holds."""
    package = Path(pgchaos.__file__).parent
    return sorted([*package.glob("*.py"), *(file for room in _CODE for file in package.glob(f"{room}/**/*.py"))])


def _code_version(tags: tuple[str, ...]) -> str:
    # sizes and times too, as the code changes without its version while somebody works on it
    states = [(file.name, (state := file.stat()).st_mtime_ns, state.st_size) for file in code_files()]
    libraries = [version(name) for name in _LIBRARIES]
    text = repr((pgchaos.__version__, sys.hexversion, libraries, tags, states))
    return blake2b(text.encode(), digest_size=16).hexdigest()
