"""Servers for the tests, a private one and one that is somebody else's, and a stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgchaos.server import PrivateServer, Server, ServerSettings, open_server, private, start_private
from pgchaos.server.cache_folder import PREPARED
from pgchaos.server.conninfo import LIBPQ
from pgchaos.stop import Stop
from tests.prepared import INITDB, prepared_data

pytest_plugins = ["pytester"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell has what it starts in the background ignore Ctrl-C, and tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True, slots=True)
class ForeignServer:
    """A server that the run under test did not start; `dsn` is how its superuser reaches it."""

    dsn: str
    private: PrivateServer

    def connect(self, **parameters: str) -> psycopg.Connection[tuple[object, ...]]:
        """Connect to look or to prepare, in autocommit mode."""
        return psycopg.connect(make_conninfo(self.dsn, **parameters), autocommit=True)

    def role(self, name: str, options: str = "LOGIN CREATEDB") -> str:
        """Make sure of a role, and say how it connects."""
        with self.connect() as conn:
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
            conn.execute(sql.SQL("CREATE ROLE {} ").format(sql.Identifier(name)) + sql.SQL(options))
        return make_conninfo(self.dsn, user=name)

    def databases(self) -> set[str]:
        """Name its databases."""
        with self.connect() as conn:
            return {str(name) for (name,) in conn.execute("SELECT datname FROM pg_database")}


settings.register_profile(
    "pgchaos",
    parent=settings(),
    deadline=None,  # a database takes its time
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # a session lasts through all examples, on purpose
)
settings.load_profile("pgchaos")


@pytest.fixture(scope="module", autouse=True)
def _no_server_named() -> Iterator[None]:
    """Tests say themselves which server they mean; what the caller's environment names is not theirs.

    Those in tests/chaos run on it, as every user's do. GitHub gets no annotations of scenarios that tests let fail.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in (*LIBPQ, "PGOPTIONS", "PGSERVICEFILE", "GITHUB_ACTIONS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _prepared_data() -> Iterator[None]:
    """Private servers begin with a copy of what initdb made once; `made_by_initdb` has it make each."""
    with prepared_data():
        yield


@pytest.fixture(scope="session", autouse=True)
def _prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs keep their prepared data directories for all tests of this session, and not in the user's cache."""
    folder = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        # a worker of pytest-xdist has a folder of its own in that of all
        patch.setenv(PREPARED, str((folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder) / "prepared"))
        yield


@pytest.fixture
def made_by_initdb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have initdb make each data directory, as it does for users."""
    monkeypatch.setattr(private, "initdb_command", INITDB)


@pytest.fixture
def stop() -> Iterator[Stop]:
    """A stop of the test's own, which is closed with it."""
    with closing(Stop()) as stop:
        yield stop


@pytest.fixture(scope="session")
def private_server() -> Iterator[Server]:
    """A private server as a run opens it: from PG_BINDIR, else the embedded one."""
    environ = {name: value for name, value in os.environ.items() if name == "PG_BINDIR"}
    with open_server(ServerSettings(), environ) as server:
        yield server


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A private server for one module, which its tests may harm."""
    with open_server(ServerSettings()) as server:
        yield server


@pytest.fixture(scope="session")
def foreign_server() -> Iterator[ForeignServer]:
    """A server that is not the run's own, reached by its DSN; its databases are nobody's but the tests'."""
    bindir = os.environ.get("PG_BINDIR")
    with start_private(Path(bindir) if bindir else None) as private:
        yield ForeignServer(make_conninfo(**private.parameters), private)


@pytest.fixture(scope="module")
def theirs(foreign_server: ForeignServer) -> Iterator[Server]:
    """The run's view of a server that is not its own."""
    with open_server(ServerSettings(dsn=foreign_server.dsn)) as server:
        yield server
