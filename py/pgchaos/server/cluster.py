"""Servers of a scenario's own: each begins as a copy of a data directory that was prepared once."""

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
DISK = "disk"  # the folder of a server in which a tablespace lies, where it has a small file system
TABLESPACE = "chaos_disk"
_SHOWN_WITHIN = 30.0
_SETTINGS = {
    "shared_buffers": "32MB",
    # many stand side by side, and none has anything to clean up before a scenario is over
    "autovacuum_naptime": "1h",
}


class ClusterFactory:
    """Starts servers of one version. Safe to use from several threads.

    Args:
        bindir: the folder of their programs, None for the embedded ones.
        pgtap_from: where to load pgTAP from, None to look for it.
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
        """Lend a server to one scenario.

        Args:
            extensions: to create in its database, beside pgTAP and the toolkit.
            settings: its parameters beside and over our own.
            disks: as for start_private.

        Yields:
            A database of a server that nobody else uses; it is stopped and removed afterwards.

        Raises:
            ServerError: it does not start, or lacks something; the message says why.
        """
        prepared = self._prepare()
        server = start_private(
            prepared.programs, {**_SETTINGS, **(settings or {})}, copy_of=prepared.folder / "data", disks=disks or {}
        )
        with server:
            if extensions:
                self._furnish(server, extensions)
            _await_checkpointer(server)
            if DISK in (disks or {}):
                with psycopg.connect(_conninfo(server, _DATABASE), autocommit=True) as conn:
                    place = sql.Literal(str(server.folder / DISK))
                    conn.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(TABLESPACE), place))
            banner = f"PostgreSQL {self.version}, a private server of the scenario's own"
            yield Sandbox(_DATABASE, _conninfo(server, _DATABASE), ours=True, power=server, banner=banner)

    def missing(self, requirement: Requirement) -> str:
        """Say why a server of this kind does not meet a requirement.

        Args:
            requirement: of a scenario.

        Returns:
            The reason, '' where it is met.

        Raises:
            ServerError: no such server can be started.
        """
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
        """Make the data directory that all others are copies of; its server is shut down, so that they start at once.

        The server's folder is watched over like that of any other, and goes with it.
        """
        with self._lock:
            if self._prepared is None:
                made = start_private(self._bindir, _SETTINGS)
                try:
                    self._furnish(made, ())
                    if not made.stop("fast"):
                        raise ServerError(f"the server in {made.folder} that others shall be copies of does not stop")
                except BaseException:  # Ctrl-C too: no server is left running
                    made.close()
                    raise
                self._prepared = made
            return self._prepared

    def _furnish(self, server: PrivateServer, extensions: tuple[str, ...]) -> None:
        name = sql.Identifier(_DATABASE)
        with psycopg.connect(_conninfo(server, "postgres"), autocommit=True) as conn:
            (self.version,) = (str(v).split()[0] for v in conn.execute("SHOW server_version").fetchone() or ("",))
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        with psycopg.connect(_conninfo(server, _DATABASE), autocommit=True) as conn:
            conn.execute("SET client_min_messages = 'warning'")
            set_up_database(conn, extensions, self._pgtap_from)

    def close(self) -> None:
        """Remove the prepared data directory; more than once does no harm."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.close()


_PARAMETERS = {"connect_timeout": "10", "client_encoding": "UTF8"}


def _await_checkpointer(server: PrivateServer) -> None:
    """Wait until the checkpointer shows, a moment after the server is ready: a recovery is known by another one."""
    query = "SELECT FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer' AND backend_start IS NOT NULL"
    until = time.monotonic() + _SHOWN_WITHIN
    with psycopg.connect(_conninfo(server, _DATABASE), autocommit=True) as conn:
        while conn.execute(query).fetchone() is None:
            if time.monotonic() > until:
                raise ServerError(f"the server shows no checkpointer within {_SHOWN_WITHIN:g} s")
            time.sleep(0.001)  # polled: it comes without a word


def _conninfo(server: PrivateServer, database: str) -> str:
    return make_conninfo(**{**server.parameters, "dbname": database}, application_name="pgchaos", **_PARAMETERS)
