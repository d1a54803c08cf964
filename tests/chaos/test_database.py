"""Where the database for tests comes from and goes to, on servers that are ours and that are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.server.run_id import RunId
from tests.chaos.projects import INI, PLUGINS, Project, loaded
from tests.waiting import until

pytestmark = pytest.mark.chaos

NAME = "pggit_chaos_test"
SAYS = """
def test_it(db_config, sync_conn):
    sync_conn.execute("CREATE TABLE t ()")
    sync_conn.commit()
    print("in", db_config["dbname"])
"""


DEAD = RunId("0badcafe", "elsewhere", 1)
STATE = """
    SELECT oid, datdba, datallowconn, datacl, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s
"""


@contextmanager
def named_database(project: Project) -> Iterator[str]:
    """A database that the user has made and names."""
    with project.connect() as conn:
        conn.execute("CREATE DATABASE shop")
        yield make_conninfo(project.foreign.dsn, dbname="shop")
        conn.execute("DROP DATABASE shop WITH (FORCE)")


@pytest.fixture
def theirs(project: Project) -> Iterator[None]:
    """A database of that name which somebody else has made, with something in it."""
    with project.connect() as conn:
        conn.execute(f"CREATE DATABASE {NAME}".encode())
        yield
        conn.execute(f"DROP DATABASE {NAME}".encode())


def test_on_a_server_that_is_not_ours_the_database_is_the_runs_own(project: Project) -> None:
    before = project.databases()
    result = project.run(SAYS, "-rP")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["server: PostgreSQL * (not ours: works only in databases pgchaos_*", "in pgchaos_*"])
    assert project.databases() == before


def test_on_a_private_server_it_has_its_own_name(project: Project) -> None:
    # with all plugins that are installed, as a user's project has them
    project.write(SAYS)
    result = project.pytester.runpytest_subprocess("-rP")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["server: PostgreSQL * (ours)", f"in {NAME}"])


@pytest.mark.usefixtures("theirs")
def test_a_database_of_that_name_on_a_server_that_is_not_ours_is_not_touched(project: Project) -> None:
    with project.connect() as conn:
        # of a run that is long over, by what is printed there
        conn.execute(f"COMMENT ON DATABASE {NAME} IS '{DEAD.dumps()}'".encode())
        with project.connect(NAME) as theirs:
            theirs.execute("CREATE TABLE precious AS SELECT 1 AS id")
        before = conn.execute(STATE, [NAME]).fetchall()
        result = project.run(
            SAYS
            + """
def test_schema(isolated_schema, sync_conn):
    sync_conn.execute("CREATE TABLE t ()")
    sync_conn.commit()
""",
            "-rP",
            "--chaos-extensions=ltree",
        )
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["in pgchaos_*"])
        assert conn.execute(STATE, [NAME]).fetchall() == before
    with project.connect(NAME) as conn:
        assert conn.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchall() == [
            ("precious",)
        ]
        assert conn.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ 'chaos'").fetchall() == []
        assert conn.execute("SELECT extname FROM pg_extension").fetchall() == [("plpgsql",)]


def test_workers_on_one_server_have_a_database_each(project: Project) -> None:
    before = project.databases()
    project.pytester.makeini(INI.replace("-p no:xdist", ""))
    source = """
import pytest

@pytest.mark.parametrize("n", range(6))
def test_it(n, db_config, sync_conn, isolated_schema, worker_id):
    sync_conn.execute(f"CREATE TABLE IF NOT EXISTS {worker_id} ()")
    sync_conn.commit()
    assert sync_conn.execute("SELECT tablename FROM pg_tables WHERE tablename ~ '^gw'").fetchall() == [
        {"tablename": worker_id}]
    with open(f"in-{n}", "w") as file:
        file.write(worker_id + " " + db_config["dbname"])
"""
    result = project.run_apart(source, *loaded("xdist"), f"--chaos-dsn={project.foreign.dsn}", "-n2")
    result.assert_outcomes(passed=6)
    used = {tuple(path.read_text().split()) for path in project.pytester.path.glob("in-*")}
    assert {worker for worker, _ in used} == {"gw0", "gw1"}
    assert len({name for _, name in used}) == len(used)
    assert all(name.startswith("pgchaos_") for _, name in used)
    assert project.databases() == before


class Held:
    """A run that stays in its test until it is told to end, or is killed."""

    def __init__(self, project: Project, *args: str, dsn: str | None = None, before: str = "") -> None:
        project.write(f"""
        def test_it(db_config, isolated_schema, sync_conn):
            {before or "pass"}
            print("in", db_config["dbname"], flush=True)
            input()
        """)
        dsn = project.foreign.dsn if dsn is None else dsn
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-s", "-q", *loaded(*PLUGINS), f"--chaos-dsn={dsn}", *args],
            cwd=project.pytester.path,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        printed = []
        for line in self.process.stdout:
            printed.append(line)
            if line.startswith(("in ", ".in ")):
                self.name = line.split()[1]
                return
        raise AssertionError("".join(printed))

    def end(self) -> None:
        self.process.communicate("\n", timeout=30)

    def kill(self, *, supervisors: bool = False) -> None:
        for child in psutil.Process(self.process.pid).children() if supervisors else ():
            child.kill()
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=30)


def test_two_runs_on_one_server_at_once_have_a_database_each(project: Project) -> None:
    before = project.databases()
    first = Held(project)
    try:
        second = Held(project)
        try:
            assert first.name.startswith("pgchaos_")
            assert second.name.startswith("pgchaos_")
            assert first.name != second.name
        finally:
            second.end()
        assert first.name in project.databases()
    finally:
        first.end()
    assert project.databases() == before


def test_a_run_that_is_killed_leaves_no_database(project: Project) -> None:
    before = project.databases()
    run = Held(project)
    assert run.name in project.databases()
    run.kill()
    until(lambda: project.databases() == before, "the database gone")


def test_a_run_that_is_stopped_ends_its_tests_before_their_database_goes(project: Project) -> None:
    before = project.databases()
    run = Held(project)
    run.process.send_signal(signal.SIGINT)
    printed, _ = run.process.communicate(timeout=30)
    assert "KeyboardInterrupt" in printed
    assert "OperationalError" not in printed
    assert project.databases() == before


SLEEPS = "sync_conn.execute('CREATE TABLE held ()'); sync_conn.pgconn.send_query(b'SELECT pg_sleep(600)')"


def test_a_run_that_is_killed_leaves_no_schema_and_no_session_in_a_database_that_stays(project: Project) -> None:
    left = (
        "SELECT nspname FROM pg_namespace WHERE nspname ~ 'chaos' UNION ALL"
        " SELECT query FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"
    )
    with named_database(project) as dsn, project.connect("shop") as conn:
        run = Held(project, "--chaos-in-place", dsn=dsn, before=SLEEPS)
        until(lambda: len(conn.execute(left).fetchall()) == 2, "the session at work in the schema")
        run.kill()
        until(lambda: conn.execute(left).fetchall() == [], "both gone", 8.0)


def test_what_a_killed_run_left_in_a_database_that_stays_is_removed_by_the_next(project: Project) -> None:
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname ~ 'chaos'"
    with named_database(project) as dsn:
        Held(project, "--chaos-in-place", dsn=dsn).kill(supervisors=True)
        with project.connect("shop") as conn:
            assert len(conn.execute(schemas).fetchall()) == 1
            project.run(SAYS, "--chaos-in-place", dsn=dsn).assert_outcomes(passed=1)
            assert conn.execute(schemas).fetchall() == []


def test_in_place_the_named_database_is_the_one(project: Project) -> None:
    before = project.databases()
    with named_database(project) as dsn:
        result = project.run(SAYS, "-rP", "--chaos-in-place", dsn=dsn)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["server: * (not ours: works in place in database shop)", "in shop"])
        with project.connect("shop") as conn:
            assert conn.execute("SELECT FROM t").fetchall() == []
    assert project.databases() == before


def test_the_environment_of_libpq_names_the_server(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = project.foreign.private.parameters
    monkeypatch.delenv("PG_BINDIR", raising=False)
    monkeypatch.setenv("PGHOST", parameters["host"])
    monkeypatch.setenv("PGPORT", parameters["port"])
    monkeypatch.setenv("PGUSER", parameters["user"])
    monkeypatch.setenv("PGPASSWORD", "of the environment")
    monkeypatch.setenv("PGDATABASE", "postgres")
    project.write("""
        def test_it(db_config, sync_conn):
            assert db_config["password"] == "of the environment"
            print(db_config)
        """)
    result = project.pytester.runpytest_inprocess("-rP")
    result.assert_outcomes(passed=1)
    expected = {
        "host": parameters["host"],
        "port": 5432,
        "dbname": "pgchaos_*",
        "user": "postgres",
        "password": "********",  # it is in no output, though the test had it
    }
    result.stdout.fnmatch_lines([str(expected).replace("[", "[[]")])


def test_scenarios_and_tests_share_one_private_server(project: Project) -> None:
    path = project.pytester.path / "sql" / "a.sql"
    path.parent.mkdir()
    path.write_text("-- One\n-- chaos:check\nSELECT ok(true);\n")
    result = project.run_apart(
        """
        import os, psutil

        def test_it(db_config):
            process = psutil.Process()
            watched = [child for child in process.children() if "supervisor.py" in " ".join(child.cmdline())]
            assert len(watched) == 1
        """,
        "sql",
        "test_it.py",
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["server: PostgreSQL * (ours)"])


def test_without_a_server_each_test_says_so_and_the_others_run(project: Project) -> None:
    result = project.run(
        """
        def test_needs_it(sync_conn):
            pass

        def test_does_not():
            pass
        """,
        dsn="host=/nowhere",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*cannot connect to the server named by --chaos-dsn*"])


def test_beside_the_fixture_of_pytest_postgresql(project: Project) -> None:
    before = project.databases()
    host = project.foreign.private.parameters["host"]
    result = project.run(
        """
        import psycopg
        from pytest_postgresql import factories

        postgresql = factories.postgresql("postgresql_noproc")

        def test_both(postgresql, sync_conn, isolated_schema, db_config):
            postgresql.execute("CREATE TABLE t ()")
            sync_conn.execute("CREATE TABLE t ()")
            assert postgresql.info.dbname == "tests"
            assert sync_conn.info.dbname == db_config["dbname"] != "tests"
            assert postgresql.info.host == sync_conn.info.host

        def test_the_other_way_round(sync_conn, postgresql):
            assert postgresql.execute("SELECT to_regclass('t')").fetchone() == (None,)
        """,
        f"--postgresql-host={host}",
        "--postgresql-port=5432",
    )
    result.assert_outcomes(passed=2)
    assert project.databases() == before
    assert "tests" not in project.foreign.databases()


EXTENSION = """
def test_needs_it(chaos_extensions, sync_conn):
    assert chaos_extensions == ("{name}",)
    assert sync_conn.execute("SELECT extname AS e FROM pg_extension WHERE extname <> 'plpgsql'").fetchall() == [
        {{"e": "{name}"}}]

def test_does_not(sync_conn):
    pass
"""


@pytest.mark.parametrize("in_place", [False, True])
def test_an_extension_is_created_and_dropped_again(project: Project, in_place: bool) -> None:
    with named_database(project) as dsn:
        args = ["--chaos-in-place"] if in_place else []
        result = project.run(EXTENSION.format(name="ltree"), "--chaos-extensions=ltree", *args, dsn=dsn)
        result.assert_outcomes(passed=2)
        with project.connect("shop") as conn:
            assert conn.execute("SELECT extname FROM pg_extension").fetchall() == [("plpgsql",)]


def test_an_extension_that_was_there_stays(project: Project) -> None:
    with named_database(project) as dsn:
        with project.connect("shop") as conn:
            conn.execute("CREATE EXTENSION ltree")
        source = EXTENSION.format(name="ltree")
        project.run(source, "--chaos-extensions=ltree", "--chaos-in-place", dsn=dsn).assert_outcomes(passed=2)
        with project.connect("shop") as conn:
            assert ("ltree",) in conn.execute("SELECT extname FROM pg_extension").fetchall()


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("no_such_thing", "*requires extension no_such_thing, which this server does not offer*"),
        ("ltree >= 99", "*requires extension ltree >= 99, and this server's default version is 1.*"),
    ],
)
def test_what_needs_an_extension_that_is_not_there_is_skipped(project: Project, wanted: str, reason: str) -> None:
    result = project.run(EXTENSION.format(name="x"), f"--chaos-extensions={wanted}", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines([reason])


def test_a_name_that_is_no_extension_is_refused(project: Project) -> None:
    result = project.run(EXTENSION.format(name="x"), "--chaos-extensions=ltree 1.2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--chaos-extensions: invalid value 'ltree 1.2': expected the name of an extension*"])


def test_the_extensions_of_this_project(chaos_extensions: tuple[str, ...], db_connection_string: str) -> None:
    assert chaos_extensions == ("pggit",)
    with psycopg.connect(db_connection_string) as conn:
        assert conn.execute("SELECT count(*) > 0 FROM pg_namespace WHERE nspname = 'pggit'").fetchone() == (True,)


def test_nothing_is_made_by_a_collection(project: Project) -> None:
    result = project.run(SAYS, "--collect-only", dsn="host=/nowhere")
    assert result.ret == 0
    assert "server: " not in result.stdout.str()
