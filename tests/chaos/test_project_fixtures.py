"""A project's own fixtures and markers with the names of ours, and what its wider fixtures hold."""

from __future__ import annotations

import pytest

from tests.chaos.projects import Project

pytestmark = pytest.mark.chaos

NOWHERE = "host=/nowhere"
"""A server that cannot be reached: a test that would need ours fails."""

OWN_FIXTURE = """
    import pytest

    @pytest.fixture(scope={scope!r})
    def db_config():
        return {{"url": "sqlite://"}}

    @pytest.mark.destructive
    def test_of_theirs(db_config):
        assert db_config == {{"url": "sqlite://"}}
"""


@pytest.mark.parametrize("scope", ["function", "session"])
def test_a_fixture_of_our_name_starts_no_server_and_its_tests_run(project: Project, scope: str) -> None:
    result = project.run(OWN_FIXTURE.format(scope=scope), dsn=NOWHERE)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("server: *")
    # no permission is asked for harm that is not done to our server
    project.run(OWN_FIXTURE.format(scope=scope)).assert_outcomes(passed=1)


def test_a_fixture_over_ours_is_ours_still(project: Project) -> None:
    source = """
        import pytest

        @pytest.fixture(scope="session")
        def db_config(db_config):
            return {**db_config, "connect_timeout": 9}

        @pytest.mark.destructive
        def test_harms(db_config):
            assert db_config["connect_timeout"] == 9

        def test_connects(sync_conn):
            sync_conn.execute("SELECT 1")
    """
    result = project.run(source)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["server: *"])


WIDER = """
    import psycopg
    import pytest

    @pytest.fixture(scope={scope!r})
    def connection(db_connection_string):
        with psycopg.connect(db_connection_string) as conn:
            yield conn

    @pytest.fixture(scope={scope!r})
    def tables(connection):
        connection.execute("CREATE TABLE t (i int); SELECT pg_advisory_lock(7)")
        yield
        connection.rollback()

    @pytest.fixture(scope={scope!r})
    def schema(db_connection_string):
        with psycopg.connect(db_connection_string, autocommit=True) as conn:
            conn.execute("CREATE SCHEMA theirs")
            yield conn
            conn.execute("DROP SCHEMA theirs")

    class Test:
        def test_zero(self, connection):
            connection.rollback()

        def test_one(self, tables):
            pass

        def test_two(self, schema, connection):
            connection.execute("INSERT INTO t VALUES (1)")

        def test_three(self, schema, connection):
            assert connection.execute("SELECT i FROM t").fetchall() == [(1,)]
            assert schema.execute("SELECT FROM pg_namespace WHERE nspname = 'theirs'").rowcount == 1
"""


@pytest.mark.parametrize("scope", ["class", "module", "package", "session"])
def test_what_a_wider_fixture_holds_is_left_alone(project: Project, scope: str) -> None:
    project.run(WIDER.format(scope=scope)).assert_outcomes(passed=4)


def test_what_a_test_begins_on_a_session_of_its_own_is_reported_beside_a_wider_fixture(project: Project) -> None:
    more = """
    kept = []

    def test_four(tables, db_connection_string):
        kept.append(psycopg.connect(db_connection_string))
        kept[0].execute("SELECT 4")
    """
    # when all was looked at
    project.pytester.makeconftest("""
        import sys

        def pytest_sessionfinish():
            for connection in sys.modules["test_it"].kept:
                connection.close()
    """)
    result = project.run(WIDER.format(scope="module") + more)
    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(["*a transaction: session * last statement: SELECT 4*"])


@pytest.mark.parametrize(
    "option",
    [
        "--fixtures",
        "--fixtures-per-test",
        "--markers",
        "--collect-only",
        "--help",
        "--version",
        "--setup-plan",
        "--cache-show=*",
    ],
)
def test_what_runs_nothing_starts_no_server(project: Project, option: str) -> None:
    scenario = "-- chaos:check\nSELECT ok(true);\n"
    (project.pytester.path / "sql").mkdir()
    (project.pytester.path / "sql/x.sql").write_text(scenario, encoding="utf-8")
    project.write("import pytest\n@pytest.mark.destructive\ndef test_it(sync_conn): pass\n")
    project.pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    # each that opened it would end with an error
    result = project.pytester.runpytest_inprocess(f"--chaos-dsn={NOWHERE}", option, "sql", "test_it.py")
    assert result.ret == pytest.ExitCode.OK, result.outlines + result.errlines
    result.stdout.no_fnmatch_line("server: *")
