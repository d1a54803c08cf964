"""Collecting thousands of scenario files, against as many empty tests of pytest's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Line, compared
from tests.bench.work import SQL, pytest_run, workplace

FOLDERS, EACH = 50, 100


def lines(folder: Path) -> Iterator[Line]:
    """Measure collection alone."""
    text = (SQL / "concurrency/last_ticket.sql").read_text(encoding="utf-8")
    empty = "".join(f"def test_{number}():\n    pass\n\n\n" for number in range(EACH))
    with workplace(folder, "collecting") as place:
        for number in range(FOLDERS):
            ours, theirs = place / "sql" / f"d{number}", place / "py" / f"d{number}"
            ours.mkdir(parents=True)
            theirs.mkdir(parents=True)
            (theirs / f"test_{number}.py").write_text(empty, encoding="utf-8")
            for one in range(EACH):
                (ours / f"ticket_{number}_{one}.sql").write_text(text, encoding="utf-8")
        try:
            what = f"collecting {FOLDERS * EACH} scenario files against as many empty tests in {FOLDERS} files"
            # Python keeps the bytecode of the peer's files in either case
            yield compared(
                f"{what}: the second run, with what pytest's cache keeps",
                lambda: _collected(place, "sql", cache=True),
                lambda: _collected(place, "py", cache=True),
                "s",
                under=2.0,
            )
            yield compared(
                f"{what}: nothing kept, each file read",
                lambda: _collected(place, "sql"),
                lambda: _collected(place, "py"),
                "s",
            )
        finally:
            shutil.rmtree(place / "sql")


def _collected(place: Path, what: str, *, cache: bool = False) -> float:
    ran = pytest_run(place, "--collect-only", what, cache=cache)
    if f"{FOLDERS * EACH} tests collected" not in ran.out:
        raise RuntimeError(ran.out[-3000:])
    return ran.seconds
