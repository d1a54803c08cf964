"""What a scenario costs beside its statements, what delays cost side by side, and how soon the first one runs."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench.measure import Line, alone
from tests.bench.work import SQL, Ran, program, pytest_run, workplace

EMPTY = 40
IN_SCHEMAS = 200
DELAYED = 40
OF_EMPTY = 5
_EMPTY = """-- Almost nothing
-- chaos:session a
SELECT 1;
-- chaos:check
SELECT ok(true, 'it ran');
"""
_IN_A_SCHEMA = _EMPTY.replace("-- chaos:session", "-- chaos:sandbox schema\n-- chaos:session")
_DELAY = """-- A second of waiting
-- chaos:session a
-- chaos:delay 1s
SELECT 1;
-- chaos:check
SELECT ok(true, 'it ran');
"""


def empty(folder: Path) -> Iterator[Line]:
    """Measure what a scenario costs beside its statements, many of them run with jobs."""
    yield _each(folder, "a database", _EMPTY, EMPTY, 15)
    yield _each(folder, "a schema", _IN_A_SCHEMA, IN_SCHEMAS, 4)


def _each(folder: Path, what: str, text: str, number: int, aim: float) -> Line:
    with workplace(folder, "empty") as place:
        _copies(place / "sql", text, number)
        (place / "one").mkdir()
        shutil.copy(place / "sql/x1.sql", place / "one/one.sql")

        def each() -> float:
            every = _seconds(pytest_run(place, "sql"), number)
            one = _seconds(pytest_run(place, "one/one.sql"), 1)
            return (every - one) / (number - 1) * 1000

        what = f"an empty scenario in {what} of its own: one more among {number}, statements and report included"
        return alone(what, each, "ms", under=aim)


def delays(folder: Path) -> Iterator[Line]:
    """Measure scenarios that wait, side by side."""
    with workplace(folder, "delays") as place:
        _copies(place / "sql", _DELAY, DELAYED)
        yield alone(
            f"{DELAYED} scenarios that delay one second, --chaos-jobs=20, server and all",
            lambda: _seconds(pytest_run(place, "--chaos-jobs=20", "sql"), DELAYED),
            "s",
            under=4,
        )


def start(folder: Path) -> Iterator[Line]:
    """Measure a run of one scenario, from nothing to the end, and what projects without scenarios pay."""
    with workplace(folder, "start") as place:
        (place / "sql").mkdir()
        shutil.copy(SQL / "concurrency/last_ticket.sql", place / "sql")
        (place / "test_empty.py").write_text("def test_empty():\n    pass\n", encoding="utf-8")

        def empty(*options: str) -> float:
            # without an option of pgchaos, which may be left out
            pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            return _seconds(program([*pytest, *options, "test_empty.py"], place), 1)

        yield alone(
            "`pytest sql/last_ticket.sql`: private server made, scenario run, server removed; beyond pytest's own time"
            " for an empty test",
            lambda: _seconds(pytest_run(place, "sql/last_ticket.sql"), 1) - empty(),
            "s",
            under=0.6,
        )

        def pays() -> float:
            pairs = [(_processor(empty), _processor(partial(empty, "-p", "no:pgchaos"))) for _ in range(OF_EMPTY)]
            return median(with_it - without for with_it, without in pairs) * 1000

        what = "an empty test with pgchaos, beyond the same without it, in processor time"
        yield alone(f"{what}: the median of {OF_EMPTY} pairs", pays, "ms", under=20)


def _processor(work: Callable[[], object]) -> float:
    """Give the processor time that programs took, in seconds: a small difference is lost in the time on the wall."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _copies(place: Path, text: str, number: int) -> None:
    place.mkdir()
    for one in range(1, number + 1):
        (place / f"x{one}.sql").write_text(text, encoding="utf-8")


def _seconds(ran: Ran, passed: int) -> float:
    if f"{passed} passed" not in ran.out:
        raise RuntimeError(f"{passed} should have passed:\n{ran.out[-3000:]}")
    return ran.seconds
