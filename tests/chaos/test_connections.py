"""How tests connect, and that nothing of one is seen by the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pgchaos.pytest_plugin.fixtures.database import DbConfig
from tests.chaos.projects import Project

pytestmark = pytest.mark.chaos

Sync = psycopg.Connection[dict[str, Any]]
Async = psycopg.AsyncConnection[dict[str, Any]]


def one(conn: Sync, query: str) -> object:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return next(iter(row.values()))


def test_db_config_says_how_to_connect(db_config: DbConfig) -> None:
    assert list(db_config) == ["host", "port", "dbname", "user", "password"]
    assert db_config["dbname"].startswith("pggit_chaos_test")
    with psycopg.connect(**db_config) as conn:
        row = conn.execute("SELECT current_database(), current_user").fetchone()
    assert row == (db_config["dbname"], db_config["user"])


def test_the_connection_string_leads_to_the_same_place(db_connection_string: str, db_config: DbConfig) -> None:
    with psycopg.connect(db_connection_string) as conn:
        assert (conn.info.dbname, conn.info.user, conn.info.port) == (
            db_config["dbname"],
            db_config["user"],
            db_config["port"],
        )


def test_rows_are_dicts(sync_conn: Sync) -> None:
    assert sync_conn.execute("SELECT 1 AS a, 'x' AS b").fetchall() == [{"a": 1, "b": "x"}]


async def test_rows_are_dicts_async(async_conn: Async) -> None:
    assert await (await async_conn.execute("SELECT 1 AS a, 'x' AS b")).fetchall() == [{"a": 1, "b": "x"}]


def test_what_was_not_committed_is_rolled_back(project: Project) -> None:
    result = project.run(
        """
        def test_writes(sync_conn):
            sync_conn.execute("CREATE TABLE kept ()")

        def test_fails(sync_conn):
            sync_conn.execute("CREATE TABLE kept ()")
            assert False

        async def test_writes_async(async_conn):
            await async_conn.execute("CREATE TABLE kept ()")

        def test_looks(sync_conn):
            assert sync_conn.execute("SELECT to_regclass('kept') AS t").fetchone() == {"t": None}
            assert sync_conn.execute("SELECT count(*) AS n FROM pg_stat_activity WHERE query ~ 'kept' AND pid <>"
                                     " pg_backend_pid()").fetchone() == {"n": 0}
        """
    )
    result.assert_outcomes(passed=3, failed=1)


def test_a_failed_transaction_is_rolled_back_as_a_whole(sync_conn: Sync, isolated_schema: str) -> None:
    sync_conn.execute("CREATE TABLE account (id int PRIMARY KEY, balance int CHECK (balance >= 0))")
    sync_conn.execute("INSERT INTO account VALUES (1, 100), (2, 0)")
    sync_conn.commit()
    sync_conn.execute("UPDATE account SET balance = balance + 150 WHERE id = 2")
    with pytest.raises(psycopg.errors.CheckViolation):
        sync_conn.execute("UPDATE account SET balance = balance - 150 WHERE id = 1")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        sync_conn.execute("SELECT 1")
    sync_conn.rollback()
    assert sync_conn.execute("SELECT balance FROM account ORDER BY id").fetchall() == [{"balance": 100}, {"balance": 0}]
    assert one(sync_conn, "SELECT current_schema()") == isolated_schema


async def test_an_error_leaves_the_transaction_failed_until_it_is_rolled_back(async_conn: Async) -> None:
    with pytest.raises(psycopg.errors.SyntaxError):
        await async_conn.execute("INVALID SQL")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        await async_conn.execute("SELECT 1")
    await async_conn.rollback()
    assert await (await async_conn.execute("SELECT 1 AS a")).fetchone() == {"a": 1}


def test_an_isolated_schema_is_empty_and_seen_by_all(
    sync_conn: Sync, isolated_schema: str, db_connection_string: str
) -> None:
    assert one(sync_conn, "SELECT current_schema()") == isolated_schema
    sync_conn.rollback()
    assert one(sync_conn, "SELECT current_schema()") == isolated_schema
    sync_conn.execute("CREATE TABLE t AS SELECT 1 AS a")
    sync_conn.commit()
    with psycopg.connect(db_connection_string) as other:
        query = sql.SQL("SELECT a FROM {}").format(sql.Identifier(isolated_schema, "t"))
        assert other.execute(query).fetchall() == [(1,)]


def test_an_isolated_schema_is_dropped_whatever_happened(project: Project) -> None:
    result = project.run(
        """
        import os, psycopg
        made = []

        def test_passes(isolated_schema, sync_conn):
            made.append(isolated_schema)
            sync_conn.execute("CREATE TABLE t ()")
            sync_conn.commit()
            sync_conn.execute("LOCK TABLE t")

        def test_fails(isolated_schema, sync_conn):
            made.append(isolated_schema)
            sync_conn.execute("CREATE TABLE t ()")
            sync_conn.commit()
            sync_conn.execute("SELECT 1 / 0")

        def test_kills_its_connection(isolated_schema, sync_conn, db_connection_string):
            made.append(isolated_schema)
            with psycopg.connect(db_connection_string) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [sync_conn.info.backend_pid])

        def test_looks(sync_conn):
            assert len(set(made)) == 3
            query = "SELECT count(*) AS n FROM pg_namespace WHERE nspname = ANY (%s)"
            assert sync_conn.execute(query, [made]).fetchone() == {"n": 0}
        """
    )
    result.assert_outcomes(passed=3, failed=1)


def test_a_delay_on_the_server_comes_before_the_query(
    pg_sleep_injector: Callable[..., psycopg.Cursor[dict[str, Any]]], sync_conn: Sync
) -> None:
    asked = one(sync_conn, "SELECT clock_timestamp()")
    row = pg_sleep_injector(0.05, "SELECT clock_timestamp() - %s >= '50ms' AS later", [asked]).fetchone()
    assert row == {"later": True}
