"""The patterns of sql/patterns ask their questions of tables of one's own."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.mutation import mutants_in_force, mutated
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server
from tests.pytest_plugin.pages import page, sql_blocks
from tests.server.conftest import PACKAGES, interpreter, needs_root

PATTERNS = Path(__file__).parents[2] / "sql/patterns"
(MIGRATION,) = (block for block in sql_blocks(page("sql/MIGRATIONS.md")) if "patterns/migration.sql" in block)
ALTER = "ALTER TABLE invoice ADD COLUMN paid boolean NOT NULL DEFAULT false;\n"
GIVES_WAY = "SET lock_timeout = '100ms';\n"

# As pg_dump -s -O -x writes it: psql's \restrict, settings that an older server does not have, and no search_path
DUMP = r"""
--
-- PostgreSQL database dump
--

\restrict JUGIq0Yi066RmoAyrPh3HMwdJJ40N3Ot80nBied5kCHVgTJxrcR9Z6aLoIwrQbG

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.customer (
    id integer NOT NULL,
    name text NOT NULL
);
ALTER TABLE public.customer ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.customer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.invoice (
    id integer GENERATED ALWAYS AS IDENTITY,
    customer_id integer NOT NULL,
    amount numeric NOT NULL
);
COPY public.customer (name) FROM stdin;
Ann
Bob
\.
ALTER TABLE ONLY public.customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.invoice
    ADD CONSTRAINT invoice_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES public.customer(id);
\unrestrict JUGIq0Yi066RmoAyrPh3HMwdJJ40N3Ot80nBied5kCHVgTJxrcR9Z6aLoIwrQbG
"""
ROWS = "INSERT INTO invoice (customer_id, amount) SELECT 1 + n % 2, n FROM generate_series(1, 1000) AS n;\n"
SHOP = """\
BEGIN;
SELECT name FROM customer WHERE id = :worker;
INSERT INTO invoice (customer_id, amount) VALUES (:worker, 10);
COMMIT;
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of one's own with a copy of the patterns, and the files that sql/MIGRATIONS.md names beside it."""
    shutil.copytree(PATTERNS, tmp_path / "patterns")
    files = {"schema.sql": DUMP, "rows.sql": ROWS, "shop.sql": SHOP, "migration_42.sql": MIGRATION}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def impatient(path: Path) -> None:
    """Let a client of the shop wait less than it does otherwise, where it waits in vain."""
    path.write_text(MIGRATION.replace("\\ir ", "\\set patience 1s\n\\ir "), encoding="utf-8")


def asked(path: Path, server: Server, mutant: int | None = None) -> RunResult:
    scenario = read(path, path.name)
    if mutant is not None:
        scenario = mutated(scenario, mutants_in_force(scenario, {})[mutant])
    return run(scenario, {}, server, RunSettings(1))


def said(result: RunResult) -> list[str]:
    return [f"{failure.place.path}: {failure.text}" if failure.place else failure.text for failure in result.failures]


@pytest.mark.parametrize(
    ("migration", "wrong"),
    [
        (GIVES_WAY + ALTER, []),
        (ALTER, ["canceling statement due to lock timeout"]),
        ("CREATE INDEX ON invoice (customer_id);\n", ["canceling statement due to lock timeout"]),
        (GIVES_WAY + ALTER.replace("false", "random() > 2"), ["no table was written anew, with the shop locked out"]),
        (GIVES_WAY + ALTER.replace("false", "true"), ["the data is right"]),
        (GIVES_WAY + ALTER + "ALTER TABLE invoice RENAME amount TO total;\n", ['column "amount"']),
    ],
    ids=["gives way", "locks the shop out", "locks writers out", "rewrites", "wrong data", "breaks the shop"],
)
def test_a_migration_on_a_schema_of_ones_own(
    own: Path, private_server: Server, migration: str, wrong: list[str]
) -> None:
    (own / "42_paid.sql").write_text(migration, encoding="utf-8")
    if any("lock timeout" in text for text in wrong):
        impatient(own / "migration_42.sql")
    found = said(asked(own / "migration_42.sql", private_server))
    assert len(found) == len(wrong), found
    assert all(what in text for what, text in zip(wrong, found, strict=True)), found


def test_a_build_of_an_index_that_lets_writers_through(own: Path, private_server: Server) -> None:
    (own / "42_paid.sql").write_text("CREATE INDEX CONCURRENTLY ON invoice (customer_id);\n", encoding="utf-8")
    (own / "migration_42.sql").write_text(MIGRATION.replace("NOT bool_or(paid)", "true"), encoding="utf-8")
    assert said(asked(own / "migration_42.sql", private_server)) == []


def test_the_mutants_fail_on_a_schema_of_ones_own(own: Path, private_server: Server) -> None:
    (own / "42_paid.sql").write_text(GIVES_WAY + ALTER, encoding="utf-8")
    for number, mutant in enumerate(read(own / "migration_42.sql").mutants):
        found = said(asked(own / "migration_42.sql", private_server, mutant=number))
        assert found, mutant.name


def test_a_counter_of_ones_own(own: Path, private_server: Server) -> None:
    (own / "item.sql").write_text("CREATE SCHEMA shop; CREATE TABLE shop.item AS SELECT 7 AS sku, 0 AS sold;\n")
    mine = (
        "-- Items are counted\n\\set setup item.sql\n\\set table shop.item\n\\set where 'sku = 7'\n\\set column sold\n"
    )
    (own / "items.sql").write_text(f"{mine}\\ir patterns/counter.sql\n")
    assert said(asked(own / "items.sql", private_server)) == []
    assert asked(own / "items.sql", private_server, mutant=0).failures
    # what the statement counts is the user's: this one loses what is counted at the same time
    loses = "UPDATE :table SET :column = 1 + (SELECT max(:column) FROM :table) WHERE :where"
    (own / "items.sql").write_text(f"{mine}\\set count '{loses}'\n\\ir patterns/counter.sql\n")
    assert said(asked(own / "items.sql", private_server)) == ["patterns/counter.sql: everything is counted"]
    (own / "item.sql").write_text("CREATE SCHEMA shop; CREATE TABLE shop.item (sku int, sold int);\n")
    (own / "items.sql").write_text(f"{mine}\\ir patterns/counter.sql\n")
    assert said(asked(own / "items.sql", private_server)) == ["patterns/counter.sql: there is one row that counts"]


@pytest.fixture
def folder_of_nobody(own: Path) -> Iterator[Path]:
    """The same folder where an ordinary user has it: pytest's own is closed to others."""
    with tempfile.TemporaryDirectory(prefix="pgchaos-own-", dir="/tmp") as made:
        folder = Path(made)
        shutil.copytree(own, folder, dirs_exist_ok=True)
        entry = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        yield folder


def asked_by_nobody(folder: Path) -> subprocess.CompletedProcess[str]:
    entry = pwd.getpwnam("nobody")
    plugins = ["-p", "pgchaos.pytest_plugin.plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [interpreter("nobody"), "-m", "pytest", *plugins, "migration_42.sql"],
        cwd=folder,
        env={**os.environ, **PACKAGES, "HOME": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "240"},
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


@needs_root
@pytest.mark.slow
def test_an_ordinary_user_asks_it_in_a_fresh_folder(folder_of_nobody: Path) -> None:
    # two runs of pytest with a private server each: above 5 s on a busy machine
    migration = folder_of_nobody / "42_paid.sql"
    migration.write_text(ALTER, encoding="utf-8")
    impatient(folder_of_nobody / "migration_42.sql")
    locked_out = asked_by_nobody(folder_of_nobody)
    assert locked_out.returncode == 1, locked_out
    assert re.search(r"shop\.sql:3: (client|shop)\[\d\]: ERROR 55P03 \(lock_not_available\): ", locked_out.stdout)
    assert re.search(r"^[a-z] = 42_paid\.sql$", locked_out.stdout, re.MULTILINE)
    assert re.search(r" [a-z]1: ALTER TABLE invoice ADD COLUMN", locked_out.stdout)
    assert "| waits for long_transaction[1]" in locked_out.stdout
    assert "| waits for migration[1]" in locked_out.stdout
    assert "FAILED: ERROR 55P03 lock_not_available:" in locked_out.stdout
    assert re.search(r"^(client|shop)\[\d\] waited for migration\[1\], which waited for long_", locked_out.stdout, re.M)
    migration.write_text(GIVES_WAY + ALTER, encoding="utf-8")
    (folder_of_nobody / "migration_42.sql").write_text(MIGRATION, encoding="utf-8")
    gives_way = asked_by_nobody(folder_of_nobody)
    assert gives_way.returncode == 0, gives_way
