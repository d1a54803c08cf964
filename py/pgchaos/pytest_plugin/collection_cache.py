"""Caches summaries of collected files between runs of pytest."""

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

# Each worker of pytest-xdist collects all files; this one writes the cache.
_WRITER = "gw0"

# The packages whose code determines a summary, and the libraries that this code uses.
_CODE = ("language", "schedule", "runner", "pytest_plugin")
_LIBRARIES = ("psycopg", "sqlparse")

# Commands that read another file: a branch of \if may skip them.
_READS_OTHERS = re.compile(r"\\(?:i|ir|include|include_relative|copy)(?![^\W\d_])")


@dataclass(slots=True)
class _Folder:
    """The cached files of one folder: for each name the digest of the text, and the summary."""

    key: str  # in pytest's cache
    before: dict[str, list[Any]]  # from the cache
    now: dict[str, list[Any]] = field(default_factory=dict)  # of the files of this run


class CollectionCache:
    """Reads summaries from pytest's cache if they are still valid, else from the files.

    A summary depends on the text of the file, its path (in notes), the project's tags and the code that reads it. The
    text is compared by a hash, not by size and time, so that no edit is missed. A file that reads other files, or has a
    mistake, is not cached. With `-p no:cacheprovider`, or variables of --chaos-set (`constants`), all files are read.
    """

    def __init__(self, config: pytest.Config, tags: tuple[str, ...], constants: Mapping[str, str]) -> None:
        # variables may change a scenario, and each file must be read to find out which of them it uses
        self._cache: pytest.Cache | None = None if constants else getattr(config, "cache", None)
        self._constants = constants
        self.unused = set(constants)
        self._writes = getattr(config, "workerinput", {}).get("workerid", _WRITER) == _WRITER
        self._tags, self._root = tags, config.rootpath
        self._version = "" if self._cache is None else _code_version(tags)
        self._folders: dict[tuple[str, str], _Folder] = {}

    def stored(self, path: Path, shown: str, raw: bytes) -> FileSummary | None:
        """Return the cached summary of a file with these contents, whose path reports show as `shown`; else None."""
        if self._cache is None:
            return None
        name = path.name
        folder = self._folder(self._cache, path, shown)
        entry = folder.before.get(name, [])
        # a damaged entry counts as missing
        with suppress(ValueError, TypeError):
            digest, summary = entry
            if digest == _digest(raw):
                read = FileSummary.from_json(summary)
                folder.now[name] = entry
                return read
        return None

    def read(self, path: Path, shown: str, raw: bytes | None, *, plain: bool) -> FileSummary:
        """Read a file, and store its summary; ScenarioError if it is not a valid scenario.

        `raw` is None if its contents could not be read. `plain`: it is collected as a file without directives.
        """
        # imported here because it takes long: not needed if every file is cached
        from pgchaos.language.constants import names_used
        from pgchaos.language.reader import read
        from pgchaos.pytest_plugin.summarize import summarize, texts_of

        given = self._constants
        try:
            scenario = read(path, shown, extra_tags=self._tags, raw=raw, root=self._root, constants=given)
        except ScenarioError:
            # it may use all of them
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
        """Write the summaries of this run, if any is new."""
        if self._cache is None or not self._writes:
            return
        for (path, _), folder in self._folders.items():
            if folder.now.items() <= folder.before.items():
                continue
            others = {name: entry for name, entry in folder.before.items() if name not in folder.now}
            existing = {name: entry for name, entry in others.items() if Path(path, name).exists()}
            with warnings.catch_warnings(), suppress(UnicodeError):  # of a name that cannot be written
                # if it cannot be written, the next run is only slower
                warnings.simplefilter("ignore", pytest.PytestCacheWarning)
                # as text, because pytest writes lists slowly, with a line for each value
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
            with suppress(ValueError, TypeError):  # a damaged entry counts as none
                files = json.loads(entry.get("files", ""))
        return files if isinstance(files, dict) else {}


def _digest(raw: bytes) -> str:
    return blake2b(raw, digest_size=16).hexdigest()


def code_files() -> list[Path]:
    """Return the files of the package that determine a summary."""
    package = Path(pgchaos.__file__).parent
    return sorted([*package.glob("*.py"), *(file for part in _CODE for file in package.glob(f"{part}/**/*.py"))])


def _code_version(tags: tuple[str, ...]) -> str:
    # sizes and times too: during development the code changes without its version
    states = [(file.name, (state := file.stat()).st_mtime_ns, state.st_size) for file in code_files()]
    libraries = [version(name) for name in _LIBRARIES]
    text = repr((pgchaos.__version__, sys.hexversion, libraries, tags, states))
    return blake2b(text.encode(), digest_size=16).hexdigest()
