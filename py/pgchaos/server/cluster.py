"""Starts a private server for each scenario that needs its own, from a data directory that is prepared once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from pgchaos.language.header_model import Requirement
from pgchaos.server import requirements
from pgchaos.server.pooler import missing_pooler
from pgchaos.server.prepared import DATABASE, PreparedData, conninfo, create_database
from pgchaos.server.private import PrivateServer, UnstartedServer, check_disks
from pgchaos.server.programs import missing_program
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.settings import ServerError
from pgchaos.server.threads import internal_error, start

DISK = "disk"  # a server's folder with a small file system, for a tablespace
TABLESPACE = "chaos_disk"
_CHECKPOINTER_LIMIT = 30.0
_SETTINGS = {
    # many servers run at the same time, and a scenario ends before autovacuum has work
    "autovacuum_naptime": "1h",
}


class NextServer:
    """The server that is started next: a thread creates its data directory.

    Raises:
        ServerError: no thread can be started.
    """

    def __init__(self, prepared: PreparedData) -> None:
        self._prepared = prepared
        self._server: UnstartedServer | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._begin, name="pgchaos next server", daemon=True)
        start(self._thread)

    def _begin(self) -> None:
        try:
            self._server = self._prepared.begin()
        except Exception as error:  # a bug of pgchaos: `take` reports it
            self._error = error
            raise

    def take(self) -> UnstartedServer | None:
        """Wait for it; None if it could not be created."""
        self._thread.join()
        if self._error is not None:
            raise ServerError(internal_error("as it prepared a server", self._error))
        return self._server

    def close(self) -> None:
        """Wait for it, and remove it."""
        self._thread.join()
        if self._server is not None:
            self._server.close()


class ClusterFactory:
    """Starts servers of one version. Thread-safe.

    Args:
        bindir: the folder of their programs, None for the embedded ones.
        pgtap_from: the file or folder to load pgTAP from, None to search for it.
        prepared: what starts them, if the run has it already.
    """

    def __init__(self, bindir: Path | None, pgtap_from: Path | None, prepared: PreparedData | None = None) -> None:
        self._pgtap_from = pgtap_from
        self._prepared = prepared or PreparedData(bindir, pgtap_from)
        self._lock = threading.Lock()
        self._started = self._expected = 0
        self._next: NextServer | None = None
        self._closed = False
        self.version = ""

    def expect(self, servers: int) -> None:
        """Create the first of so many data directories now, and each further one when the previous server starts."""
        self._expected = servers
        self._begin_next()

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
        with self._start({**_SETTINGS, **(settings or {})}, disks or {}) as server:
            if extensions or not server.prepared:
                create_database(server, extensions, self._pgtap_from)
            self.version = _await_checkpointer(server)
            if DISK in (disks or {}):
                with psycopg.connect(conninfo(server, DATABASE), autocommit=True) as conn:
                    place = sql.Literal(str(server.folder / DISK))
                    conn.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(TABLESPACE), place))
            banner = f"PostgreSQL {self.version}, a private server of the scenario's own"
            yield Sandbox(DATABASE, conninfo(server, DATABASE), ours=True, server_control=server, banner=banner)

    def _start(self, settings: Mapping[str, str], disks: Mapping[str, int]) -> PrivateServer:
        check_disks(disks)
        with self._lock:
            self._started += 1
            next_server, self._next = self._next, None
        try:
            server = next_server.take() if next_server is not None else None
        except KeyboardInterrupt:
            self._next = next_server  # `close` removes it
            raise
        self._begin_next()
        if server is not None:
            # if it does not start any more, start another one and report its error
            with contextlib.suppress(ServerError):
                return server.start(settings, disks)
        return self._prepared.start(settings, disks, always=True)

    def _begin_next(self) -> None:
        """Create the next data directory: while servers are expected, and one more from the second server on."""
        with self._lock:
            likely = self._started < self._expected or (self._started > 1 and self._started != self._expected)
            if likely and self._next is None and not self._closed:
                # without a thread the next server only takes longer
                with contextlib.suppress(ServerError):
                    self._next = NextServer(self._prepared)

    def missing(self, requirement: Requirement) -> str:
        """Explain why such a server does not meet a requirement, '' if it does; ServerError if it cannot be started."""
        if requirement.kind in ("superuser", "own server"):
            return ""
        if requirement.kind == "pooler":
            return missing_pooler()
        if requirement.kind == "program":
            return missing_program(requirement)
        if requirement.kind == "server":
            if not self.version:
                with self.sandbox():
                    pass  # starting it reads the version
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

    def cancel_starts(self) -> None:
        """Start no more servers: starts that are in progress end soon with ServerError."""
        self._prepared.starts.cancelled.set()

    def close(self) -> None:
        """Remove a prepared data directory that could not be cached; may be called twice."""
        self.cancel_starts()
        with self._lock:
            self._closed = True
            next_server, self._next = self._next, None
        if next_server is not None:
            next_server.close()
        self._prepared.close()

    def end_limit(self) -> float:
        """Return the seconds for one more supervisor of the run to end, after `close`."""
        return self._prepared.starts.end_limit()

    def left(self) -> list[str]:
        """Return what could not be removed of servers that were closed, a line each."""
        return self._prepared.starts.left()


def _await_checkpointer(server: PrivateServer) -> str:
    """Wait until pg_stat_activity lists the checkpointer: a different one later shows that the server recovered.

    Returns:
        The server's version.
    """
    # by the function: the view also joins the names of databases and roles
    backends = "pg_catalog.pg_stat_get_activity(NULL)"
    query = f"SELECT FROM {backends} WHERE backend_type = 'checkpointer' AND backend_start IS NOT NULL"
    until = time.monotonic() + _CHECKPOINTER_LIMIT
    with psycopg.connect(conninfo(server, DATABASE), autocommit=True) as conn:
        while conn.execute(query).fetchone() is None:
            if time.monotonic() > until:
                raise ServerError(f"the server's checkpointer did not start within {_CHECKPOINTER_LIMIT:g} s")
            time.sleep(0.001)  # polled: its start is not reported
        return (conn.info.parameter_status("server_version") or "").partition(" ")[0]
