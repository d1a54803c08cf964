"""Collecting thousands of scenario files, against pytest's own collecting of as many files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Line, compared
from tests.bench.work import SQL, pytest_run, workplace

FOLDERS, EACH = 50, 100
FILES = FOLDERS * EACH

# The least that pytest can do: a file that is not opened, and one item that asks for nothing.
_LEAST = """\
import pytest


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".txt":
        return File.from_parent(parent, path=file_path)


class File(pytest.File):
    def collect(self):
        yield Item.from_parent(self, name=self.path.stem)


class Item(pytest.Item):
    def runtest(self):
        pass
"""
_KEPT = "the second run, with what pytest's cache keeps"
_READ = "nothing kept, each file read"


def lines(folder: Path) -> Iterator[Line]:
    """Measure collection alone."""
    with workplace(folder, "collecting") as place:
        _write(place)
        try:
            # Python keeps the bytecode of the peer's files in either case
            what = f"collecting {FILES} scenario files against as many Python files with one empty test each: "
            yield compared(what + _KEPT, lambda: _ours(place, cache=True), lambda: _theirs(place, "py"), "s", under=1.5)
            yield compared(what + _READ, lambda: _ours(place), lambda: _theirs(place, "py"), "s", under=2.5)
            what = (
                f"collecting {FILES} scenario files against as many that a plugin does not open, one empty item each: "
            )
            yield compared(what + _KEPT, lambda: _ours(place, cache=True), lambda: _theirs(place, "least"), "s")
            yield compared(what + _READ, lambda: _ours(place), lambda: _theirs(place, "least"), "s")
        finally:
            shutil.rmtree(place / "sql")


def _write(place: Path) -> None:
    text = (SQL / "concurrency/last_ticket.sql").read_text(encoding="utf-8")
    for number in range(FOLDERS):
        ours, least, py = (place / name / f"d{number}" for name in ("sql", "least", "py"))
        for kind in (ours, least, py):
            kind.mkdir(parents=True)
        for one in range(EACH):
            # no two are the same
            (ours / f"ticket_{number}_{one}.sql").write_text(text.replace("-- ", f"-- {number}, {one}: ", 1), "utf-8")
            (least / f"ticket_{number}_{one}.txt").write_text("\n", encoding="utf-8")
            (py / f"test_{number}_{one}.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    (place / "least/conftest.py").write_text(_LEAST, encoding="utf-8")


def _ours(place: Path, *, cache: bool = False) -> float:
    return _collected(place, "sql", cache=cache)


def _theirs(place: Path, what: str) -> float:
    return _collected(place, "-p", "no:pgchaos", what, seed=False)


def _collected(place: Path, *arguments: str, cache: bool = False, seed: bool = True) -> float:
    ran = pytest_run(place, "--collect-only", *arguments, cache=cache, seed=seed)
    if f"{FILES} tests collected" not in ran.out:
        raise RuntimeError(ran.out[-3000:])
    return ran.seconds
