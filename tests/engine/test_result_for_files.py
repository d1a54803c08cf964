"""What a run keeps for files alone: the first rows of each result, and what the server logged of it."""

from __future__ import annotations

from pathlib import Path

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server

TEXT = """\
-- chaos:session s
SELECT n, CASE WHEN n > 1 THEN repeat('x', 300) END AS long FROM generate_series(1, 12) n;
SELECT FROM generate_series(1, 2);
SET search_path = public;
SELECT 1 / 0;
-- chaos:check
SELECT ok(true);
"""


def played(server: Server, folder: Path, *, for_files: bool) -> RunResult:
    path = folder / "scenario.sql"
    path.write_text(TEXT, encoding="utf-8")
    return run(read(path, "scenario.sql"), {}, server, RunSettings(1, 60.0, for_files=for_files))


def test_rows_and_log_are_kept_where_files_are_written(server: Server, tmp_path: Path) -> None:
    result = played(server, tmp_path, for_files=True)
    rows, *others = (record.cells for record in result.records)
    assert rows[:3] == (("n", "long"), ("1", None), ("2", "x" * 200))
    assert len(rows) == 11, "the names, and ten rows"
    assert others == [(), (), ()]
    errors = [line.partition("/")[2] for line in result.log if "ERROR" in line]
    assert errors == ["s[1] ERROR:  division by zero"]


def test_and_nowhere_else(server: Server, tmp_path: Path) -> None:
    result = played(server, tmp_path, for_files=False)
    assert [record.cells for record in result.records] == [(), (), (), ()]
    assert result.log == []
