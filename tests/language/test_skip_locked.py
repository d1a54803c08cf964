"""SKIP LOCKED, NOWAIT and the like are found in SQL that is run, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.reader import read
from pgchaos.language.skip_locked import advice, skips_locked


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT 1 FROM job FOR UPDATE SKIP LOCKED;", ["SKIP LOCKED"]),
        ("SELECT 1 FROM job FOR SHARE\n  skip /* really */ locked;", ["SKIP LOCKED"]),
        ("LOCK TABLE job IN SHARE MODE NOWAIT;", ["NOWAIT"]),
        ("SELECT pg_try_advisory_lock_shared(1, 2);", ["pg_try_advisory_lock_shared()"]),
        ("SET lock_timeout = '1s';", ["lock_timeout"]),
        ("DO $$ BEGIN PERFORM 1 FROM job FOR UPDATE NOWAIT; END $$;", ["NOWAIT"]),
        ("SELECT 'SKIP LOCKED', 'NOWAIT' /* NOWAIT */;", []),
        ("SELECT pg_advisory_lock(1);", []),
    ],
)
def test_it_is_found_in_sql_that_is_run(sql: str, found: list[str], tmp_path: Path) -> None:
    path = tmp_path / "one.sql"
    path.write_text(f"-- chaos:session one\n{sql}\n-- chaos:check\nSELECT pass('done');\n")
    assert [one.what for one in skips_locked(read(path, "one.sql"))] == found


def test_there_is_no_advice_where_nothing_is_found() -> None:
    assert advice([]) == ()
