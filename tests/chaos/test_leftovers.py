"""What a test leaves behind is reported by name and removed before the next test."""

from __future__ import annotations

import pytest

from tests.chaos.projects import Project

pytestmark = pytest.mark.chaos

HEAD = """
import psycopg
from contextlib import closing
kept = []

def connect(dsn, **how):
    kept.append(psycopg.connect(dsn, **how))
    return kept[-1]
"""
LOOKS = """
def test_looks(sync_conn, db_connection_string):
    for query in (
        "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        "SELECT gid FROM pg_prepared_xacts",
        "SELECT nspname FROM pg_namespace WHERE nspname ~ 'left|chaos_test'",
        "SELECT objid::text FROM pg_locks WHERE locktype = 'advisory'",
    ):
        assert sync_conn.execute(query).fetchall() == [], query
    while kept:
        kept.pop().close()
"""

LEAVES = {
    "transaction": (
        """
def test_leaves(db_connection_string):
    connect(db_connection_string).execute("CREATE TABLE t ()")
""",
        "  a transaction: session * (pgchaos test *), last statement: CREATE TABLE t ()",
    ),
    "failed transaction": (
        """
def test_leaves(db_config):
    try:
        connect("", **db_config).execute("SELECT 1 / 0")
    except psycopg.Error:
        pass
""",
        "  a transaction: session * (*), last statement: SELECT 1 / 0",
    ),
    "transaction of the pool": (
        """
def test_leaves(conn_pool):
    conn_pool[2].execute("CREATE TABLE t ()")
    conn_pool[3].execute("SELECT 1")
""",
        "  a transaction with changes on conn_pool?2?, last statement: CREATE TABLE t ()",
    ),
    "lock of sync_conn": (
        """
def test_leaves(sync_conn):
    sync_conn.execute("SELECT pg_advisory_lock(42)")
    sync_conn.execute("SELECT pg_advisory_xact_lock(43)")
""",
        "  an advisory lock: (42), held by sync_conn",
    ),
    "lock of async_conn": (
        """
async def test_leaves(async_conn):
    await async_conn.execute("SELECT pg_advisory_lock(1, 2)")
    await async_conn.commit()
""",
        "  an advisory lock: (1, 2), held by async_conn",
    ),
    "lock of another session": (
        """
def test_leaves(db_connection_string):
    connect(db_connection_string, autocommit=True).execute("SELECT pg_advisory_lock(42)")
""",
        "  an advisory lock: (42), held by session * (pgchaos test *)",
    ),
    "schema": (
        """
def test_leaves(sync_conn):
    sync_conn.execute("CREATE SCHEMA left_over; CREATE TABLE left_over.t ()")
    sync_conn.commit()
""",
        "  a schema: left_over",
    ),
    "prepared transaction": (
        """
def test_leaves(sync_conn):
    sync_conn.execute("CREATE SCHEMA left_over")
    sync_conn.execute("PREPARE TRANSACTION 'left over'")
    sync_conn.execute("ROLLBACK")
""",
        "  a prepared transaction: 'left over'",
    ),
}


@pytest.mark.parametrize("what", LEAVES)
def test_leftovers_are_reported_by_name_and_removed(project: Project, what: str) -> None:
    source, line = LEAVES[what]
    result = project.run(HEAD + source + LOOKS, "-W", "ignore::ResourceWarning")
    result.assert_outcomes(passed=2, errors=1)
    # where CI is set, pytest's summary says it again
    text = {line for line in result.outlines if line.startswith("  ")}
    assert len(text) == 1
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaves*", "the test left behind*", line])


def test_a_failing_test_is_cleaned_up_after_too(project: Project) -> None:
    source = """
def test_leaves(sync_conn, isolated_schema, db_connection_string):
    sync_conn.execute("CREATE SCHEMA left_over")
    sync_conn.commit()
    sync_conn.execute("CREATE TABLE t ()")
    sync_conn.commit()
    connect(db_connection_string).execute(f"LOCK TABLE {isolated_schema}.t")
    assert False, "the reason"
"""
    result = project.run(HEAD + source + LOOKS, "-W", "ignore::ResourceWarning")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*a transaction: session*LOCK TABLE chaos_test_*.t", "*a schema: left_over", "*the reason*"]
    )


def test_a_lock_that_hides_the_catalogs_is_broken(project: Project) -> None:
    source = """
def test_leaves(db_connection_string):
    with connect(db_connection_string) as conn:  # who reads the view next looks it up again
        conn.execute("GRANT SELECT ON pg_stat_activity TO PUBLIC")
    connect(db_connection_string).execute("LOCK TABLE pg_class")
"""
    result = project.run(HEAD + source + LOOKS, "-W", "ignore::ResourceWarning")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines_random(["the test left behind*"])


def test_leftovers_of_the_last_test_are_reported_although_the_database_is_dropped(project: Project) -> None:
    before = project.databases()
    source = """
def test_leaves(sync_conn):
    sync_conn.execute("CREATE TABLE t ()")
    sync_conn.execute("PREPARE TRANSACTION 'left over'")
    sync_conn.execute("ROLLBACK")
"""
    result = project.run(HEAD + source)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*a prepared transaction: 'left over'"])
    assert project.databases() == before


def test_what_a_fixture_of_wider_scope_holds_is_not_left_behind(project: Project) -> None:
    source = """
import pytest

@pytest.fixture(scope="module")
def seeded(db_connection_string):
    with psycopg.connect(db_connection_string) as conn:
        conn.execute("CREATE SCHEMA seeded")
        conn.commit()
        conn.execute("SELECT 1")
        yield conn
        conn.rollback()
        conn.execute("DROP SCHEMA seeded")

@pytest.mark.parametrize("n", [1, 2])
def test_uses(seeded, sync_conn, n):
    assert seeded.execute("SELECT 1").fetchone() == (1,)
"""
    project.run(HEAD + source).assert_outcomes(passed=2)


def test_a_fixture_that_fails_at_its_end_hides_no_leftovers(project: Project) -> None:
    source = """
import pytest

@pytest.fixture
def bad():
    yield
    raise RuntimeError("in its end")

def test_leaves(bad, sync_conn):
    sync_conn.execute("CREATE SCHEMA left_over")
    sync_conn.commit()
"""
    result = project.run(HEAD + source + LOOKS)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*RuntimeError: in its end", "*pgchaos teardown*", "*a schema: left_over"])


def test_leftovers_are_found_in_a_projects_own_database_too(project: Project) -> None:
    source = """
import pytest

@pytest.fixture(scope="session")
def db_config():
    return {config}

def test_leaves(sync_conn, isolated_schema, chaos_here):
    assert sync_conn.execute("SELECT current_database() AS d").fetchone() == {{"d": "theirs"}}
    sync_conn.execute("SELECT pg_advisory_lock(42)")

@pytest.fixture
def chaos_here():
    pass
"""
    with project.connect() as conn:
        conn.execute("CREATE DATABASE theirs")
    try:
        info = project.foreign.private.parameters
        config = {"host": info["host"], "port": 5432, "dbname": "theirs", "user": "postgres", "password": None}
        result = project.run(HEAD + source.format(config=config))
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["*an advisory lock: (42), held by sync_conn"])
        with project.connect("theirs") as conn:
            assert conn.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ 'chaos'").fetchall() == []
    finally:
        with project.connect() as conn:
            conn.execute("DROP DATABASE theirs")
