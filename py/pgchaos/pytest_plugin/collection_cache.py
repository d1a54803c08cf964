"""The facts of files as the last run found them, in pytest's cache, as Python keeps its bytecode.

What a file says depends on its text, on the path that its notes name, on the project's tags, and on the code that reads
it. Facts are those of a file only while all of these are the same; where it includes others, or where anything is wrong
with it, nothing is kept. So a file is told of in full each time until it is right.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import pytest

import pgchaos
from pgchaos.language.reader import read
from pgchaos.pytest_plugin.collected import Facts, facts_of, unpacked

_WRITER = "gw0"
"""The worker of pytest-xdist that writes for all: each of them collects everything."""


@dataclass(slots=True)
class _Folder:
    """What is known of the files of a folder: their facts, packed, behind the digest of their text.

    Args:
        key: in pytest's cache.
        before: as the cache had it.
        now: of the files of this run.
    """

    key: str
    before: dict[str, str]
    now: dict[str, str] = field(default_factory=dict)


class CollectionCache:
    """The facts of files, from the last run where they are still true.

    Args:
        config: of pytest; with `-p no:cacheprovider` there is no cache, and each file is read.
        tags: further tags that the project has.
    """

    def __init__(self, config: pytest.Config, tags: tuple[str, ...]) -> None:
        self._cache: pytest.Cache | None = getattr(config, "cache", None)
        self._writes = getattr(config, "workerinput", {}).get("workerid", _WRITER) == _WRITER
        self._tags, self._root = tags, config.rootpath
        self._by = "" if self._cache is None else _reader(tags)
        self._folders: dict[tuple[str, str], _Folder] = {}

    def facts(self, path: Path, shown: str, raw: bytes | None) -> Facts:
        """Tell what collection needs to know of a file."""
        if self._cache is None or raw is None:
            return facts_of(read(path, shown, extra_tags=self._tags, raw=raw, root=self._root))
        name = path.name
        folder = self._folder(self._cache, str(path).removesuffix(name), shown.removesuffix(name))
        digest = blake2b(raw, digest_size=16).hexdigest()
        was = folder.before.get(name, "")
        if was.startswith(digest):
            with suppress(ValueError, TypeError):  # what cannot be read is read from the file
                facts = unpacked(was.removeprefix(digest))
                folder.now[name] = was
                return facts
        scenario = read(path, shown, extra_tags=self._tags, raw=raw, root=self._root)
        facts = facts_of(scenario)
        if not scenario.includes:
            folder.now[name] = digest + facts.packed()
        return facts

    def write(self) -> None:
        """Keep what this run found, where it found anything new."""
        if self._cache is None or not self._writes:
            return
        for (path, _), folder in self._folders.items():
            if folder.now.items() <= folder.before.items():
                continue
            others = {name: kept for name, kept in folder.before.items() if name not in folder.now}
            there = {name: kept for name, kept in others.items() if Path(path, name).exists()}
            # a folder that cannot be written, or a name that is no text, costs time and is nothing to warn of
            with warnings.catch_warnings(), suppress(UnicodeError):
                warnings.simplefilter("ignore", pytest.PytestCacheWarning)
                self._cache.set(folder.key, {"by": self._by, "files": {**there, **folder.now}})

    def _folder(self, cache: pytest.Cache, path: str, shown: str) -> _Folder:
        folder = self._folders.get((path, shown))
        if folder is None:
            key = "pgchaos/" + blake2b(f"{path}\0{shown}".encode("utf-8", "replace"), digest_size=16).hexdigest()
            kept = cache.get(key, None)
            ours = isinstance(kept, dict) and kept.get("by") == self._by
            folder = self._folders[path, shown] = _Folder(key, kept["files"] if ours else {})
        return folder


_KEPT = pytest.StashKey[CollectionCache]()


def kept_in(config: pytest.Config, tags: tuple[str, ...]) -> CollectionCache:
    """Give the facts of a run, which are written when it ends."""
    kept = config.stash.get(_KEPT, None)
    if kept is None:
        kept = config.stash[_KEPT] = CollectionCache(config, tags)
        config.add_cleanup(kept.write)
    return kept


def _reader(tags: tuple[str, ...]) -> str:
    """Tell apart the versions of the code that reads, those of one who works on it too."""
    package = Path(pgchaos.__file__).parent
    files = sorted(file for pattern in ("*.py", "scenario/*.py", "schedule/*.py") for file in package.glob(pattern))
    states = [(file.name, (state := file.stat()).st_mtime_ns, state.st_size) for file in files]
    said = repr((pgchaos.__version__, sys.hexversion, tags, states))
    return blake2b(said.encode(), digest_size=16).hexdigest()
