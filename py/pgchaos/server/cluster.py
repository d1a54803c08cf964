"""Servers of a scenario's own: each is a copy of a data directory that is prepared once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from pgchaos.language.header_model import Requirement
from pgchaos.server import requirements
from pgchaos.server.conninfo import make_conninfo
from pgchaos.server.private import PrivateServer, start_private
from pgchaos.server.sandbox import Sandbox, set_up_database
from pgchaos.server.settings import ServerError

_DATABASE = "pgchaos_own"
DISK = "disk"  # a server's folder with a small file system, for a tablespace
TABLESPACE = "chaos_disk"
_CHECKPOINTER_LIMIT = 30.0
_SETTINGS = {
    "shared_buffers": "32MB",
    # many run at the same time, and a scenario is over before one has anything to clean up
    "autovacuum_naptime": "1h",
}

_PARAMETERS = {"connect_timeout": "10", "client_encoding": "UTF8"}


class ClusterFactory:
    """Starts servers of one version. Thread-safe.

    Args:
        bindir: the folder of their programs, None for the embedded ones.
        pgtap_from: the file or folder to load pgTAP from, None to search for it.
    """

    def __init__(self, bindir: Path | None, pgtap_from: Path | None) -> None:
        self._bindir, self._pgtap_from = bindir, pgtap_from
        self._lock = threading.Lock()
        self._prepared: PrivateServer | None = None
        self.version = ""

    @contextmanager
    def sandbox(
        self,
        extensions: tuple[str, ...] = (),
        settings: Mapping[str, str] | None = None,
        disks: Mapping[str, int] | None = None,
    ) -> Iterator[Sandbox]:
        """Start a server for one scenario; it is stopped and removed afterwards.

        Args:
            extensions: to create in its database, beside pgTAP and the toolkit.
            settings: its parameters; they override ours.
            disks: as for start_private.

        Yields:
            A database of the server.

        Raises:
            ServerError: it does not start, or an extension cannot be created.
        """
        prepared = self._prepare()
        server = start_private(
            prepared.programs, {**_SETTINGS, **(settings or {})}, copy_of=prepared.folder / "data", disks=disks or {}
        )
        with server:
            if extensions:
                self._create_database(server, extensions)
            _await_checkpointer(server)
            if DISK in (disks or {}):
                with psycopg.connect(_conninfo(server, _DATABASE), autocommit=True) as conn:
                    place = sql.Literal(str(server.folder / DISK))
                    conn.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(TABLESPACE), place))
            banner = f"PostgreSQL {self.version}, a private server of the scenario's own"
            yield Sandbox(_DATABASE, _conninfo(server, _DATABASE), ours=True, server_control=server, banner=banner)

    def missing(self, requirement: Requirement) -> str:
        """Explain why such a server does not meet a requirement, '' if it does; ServerError if it cannot be started."""
        if requirement.kind in ("superuser", "own server"):
            return ""
        if requirement.kind == "server":
            self._prepare()
            if requirements.satisfies(self.version, requirement.operator, requirement.version):
                return ""
            return (
                f"requires server {requirement.operator} {requirement.version}, and a server of the scenario's own is "
                f"{self.version}: set PG_BINDIR to the programs of another version"
            )
        with self.sandbox() as sandbox, psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
            if requirement.kind == "extension":
                return requirements.missing_extension(conn, requirement, True, self._pgtap_from)
            return requirements.missing_capability(conn, requirement)

    def _prepare(self) -> PrivateServer:
        """Create the data directory that the servers are copies of; it is shut down, so that they need no recovery.

        Like any server, it has a supervisor that removes its folder.
        """
        with self._lock:
            if self._prepared is None:
                server = start_private(self._bindir, _SETTINGS)
                try:
                    self._create_database(server, ())
                    if not server.stop("fast"):
                        raise ServerError(f"the server in {server.folder}, which is to be copied, does not stop")
                except BaseException:  # Ctrl-C too: no server remains
                    server.close()
                    raise
                self._prepared = server
            return self._prepared

    def _create_database(self, server: PrivateServer, extensions: tuple[str, ...]) -> None:
        name = sql.Identifier(_DATABASE)
        with psycopg.connect(_conninfo(server, "postgres"), autocommit=True) as conn:
            (self.version,) = (str(v).split()[0] for v in conn.execute("SHOW server_version").fetchone() or ("",))
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        with psycopg.connect(_conninfo(server, _DATABASE), autocommit=True) as conn:
            conn.execute("SET client_min_messages = 'warning'")
            set_up_database(conn, extensions, self._pgtap_from)

    def close(self) -> None:
        """Remove the prepared data directory; it may be called twice."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.close()


def _await_checkpointer(server: PrivateServer) -> None:
    """Wait until pg_stat_activity has the checkpointer, soon after the start: another one later shows a recovery."""
    query = "SELECT FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer' AND backend_start IS NOT NULL"
    until = time.monotonic() + _CHECKPOINTER_LIMIT
    with psycopg.connect(_conninfo(server, _DATABASE), autocommit=True) as conn:
        while conn.execute(query).fetchone() is None:
            if time.monotonic() > until:
                raise ServerError(f"the server's checkpointer did not start within {_CHECKPOINTER_LIMIT:g} s")
            time.sleep(0.001)  # polled: its start is not reported


def _conninfo(server: PrivateServer, database: str) -> str:
    return make_conninfo(**{**server.parameters, "dbname": database}, application_name="pgchaos", **_PARAMETERS)
