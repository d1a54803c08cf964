"""Scenarios that can run many times in one database, because a schema and a reset remove all that they leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.reader import read
from pgchaos.language.schema_sandbox import fits_schema


def fits(tmp_path: Path, setup: str, session: str = "SELECT 1;", check: str = "SELECT pass('checked');") -> bool:
    path = tmp_path / "x.sql"
    path.write_text(
        f"-- chaos:matrix kind in TABLE, ROLE\n-- chaos:setup\n\\set used :kind\n{setup}\n"
        f"-- chaos:session one\n{session}\n-- chaos:check\n{check}\n",
        encoding="utf-8",
    )
    return fits_schema(read(path, "x.sql"), {"kind": "ROLE"})


@pytest.mark.parametrize(
    "session",
    [
        "INSERT INTO t VALUES (1);",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; TABLE t; COMMIT;",
        "SELECT pg_advisory_lock(1); SELECT pg_sleep(0); SELECT pg_backend_pid();",
        "LISTEN news; NOTIFY news;",
        "SELECT chaos.delay(1);",
    ],
)
def test_what_a_schema_and_a_reset_take_away_fits(tmp_path: Path, session: str) -> None:
    assert fits(tmp_path, "CREATE TABLE t (id int);", session)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE ROLE somebody;",
        "CREATE :kind somebody;",
        "CREATE TABLE public.t (id int);",
        "CREATE EXTENSION pgcrypto;",
        "PREPARE TRANSACTION 'one';",
        "VACUUM;",
        "ALTER SYSTEM SET work_mem = '1MB';",
        "DO $$ BEGIN EXECUTE 'x'; CREATE SCHEMA other; END $$;",
        "SELECT chaos.snapshot('before', 'TABLE t');",
    ],
)
def test_what_stays_in_the_database_does_not(tmp_path: Path, statement: str) -> None:
    assert not fits(tmp_path, statement)


@pytest.mark.parametrize("check", ["SELECT count(*) FROM pg_class;", "TABLE information_schema.tables;"])
def test_nor_does_what_might_see_the_schemas_of_other_runs(tmp_path: Path, check: str) -> None:
    assert not fits(tmp_path, "", check=check + "\nSELECT pass('checked');")
    assert not fits(tmp_path, "", session=check)
