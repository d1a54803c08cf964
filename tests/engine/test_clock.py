"""Changes of the wall clock affect neither the decisions nor the records of a run."""

from __future__ import annotations

import re
import time
from itertools import cycle, pairwise
from pathlib import Path

import pytest

import pgchaos
from tests.engine.playing import Play, held

WALL_CLOCK = {
    "clock.py": "its reading when the process began is what all times of a run count from",
    "server/server_folder.py": "files have its time: a folder that is new belongs to a server that is being made",
}
"""Where the wall clock may be read, and why."""
_READS = re.compile(
    r"\btime\.time(_ns)?\(|\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(|\bimport\b.*\btime as\b|from time import"
)


def test_the_wall_clock_is_read_nowhere_else() -> None:
    root = Path(pgchaos.__file__).parent
    reads = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if _READS.search(path.read_text(encoding="utf-8"))
    }
    assert reads == WALL_CLOCK.keys()


@pytest.mark.parametrize("schedule", ["", "-- chaos:schedule all"])
def test_a_wall_clock_that_is_set_changes_nothing(play: Play, monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    steps, real = cycle([0, 3600, -7200, 90_000]), time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(steps))
    result = play(
        f"""
        {schedule}
        -- chaos:setup
        CREATE TABLE t (id int PRIMARY KEY);
        -- chaos:session one
        BEGIN;
        INSERT INTO t VALUES (1);
        -- chaos:signal there
        -- chaos:wait blocked other
        COMMIT;
        -- chaos:session other
        -- chaos:wait for there
        -- chaos:expect unique_violation
        INSERT INTO t VALUES (1);
        -- chaos:check
        SELECT is((SELECT count(*) FROM t), 1::bigint, 'one row');
        SELECT is((SELECT count(*) FROM chaos.history WHERE ended_at < started_at), 0::bigint, 'no time runs back');
        """
    )
    assert held(result) == ["one row", "no time runs back"]
    assert 0 <= result.duration < 60
    begun = [record.started_at for record in result.records if record.started_at is not None]
    assert all(later - earlier < 60 for earlier, later in pairwise(sorted(begun)))
