"""What an oracle adds to a search: all permutations of two sessions of four steps, with it and with an assertion."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server.server import Server
from tests.bench.measure import Line, compared
from tests.bench.work import SEED, own_server, workplace

_SESSION = """-- chaos:session {name}
BEGIN;
SELECT value FROM counter WHERE id = 1 {lock} \\gset
UPDATE counter SET value = :value + 1 WHERE id = 1;
COMMIT;
"""
_SETUP = """-- chaos:setup
CREATE TABLE counter (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO counter VALUES (1, 0);
"""
_CHECK = "-- chaos:check\nSELECT ok(value <= 2, 'none too many') FROM counter;\n"


def lines(folder: Path) -> Iterator[Line]:
    """Measure milliseconds for each permutation, serial runs and all."""
    what = "schedule all, two sessions of four steps, one permutation{}: `oracle serializable` against a check"
    with own_server() as server, workplace(folder, "oracle") as place:
        for reported, lock in ((" of a safe scenario", "FOR UPDATE"), (", most of them a lost update", "")):
            _write(place, lock)
            yield compared(
                what.format(reported),
                lambda: _each(server, place / "judged.sql"),
                lambda: _each(server, place / "checked.sql"),
                "ms",
            )


def _write(place: Path, lock: str) -> None:
    sessions = "".join(_SESSION.format(name=name, lock=lock) for name in ("one", "two"))
    head = "-- Two add\n-- chaos:schedule all\n"
    (place / "judged.sql").write_text(f"{head}-- chaos:oracle serializable\n{_SETUP}{sessions}", encoding="utf-8")
    (place / "checked.sql").write_text(f"{head}{_SETUP}{sessions}{_CHECK}", encoding="utf-8")


def _each(server: Server, path: Path) -> float:
    begun = time.perf_counter()
    result = run(read(path, path.name), {}, server, RunSettings(SEED))
    assert result.permutations is not None, "of `schedule all`"
    assert result.permutations.exhausted
    return (time.perf_counter() - begun) / result.permutations.run * 1000
