"""The user's database, in which one scenario runs after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import psycopg

from pgchaos.language.plain_files import Contents
from pgchaos.server import in_place
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.connection_checks import settings_difference, settings_query
from pgchaos.server.conninfo import Connection
from pgchaos.server.object_list import ObjectList
from pgchaos.server.outside_schemas import read_contents
from pgchaos.server.run_id import APPLICATION
from pgchaos.server.sandbox import MARK, Sandbox
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.settings import ServerError


class UserDatabase:
    """Installs what a scenario needs in the user's database, and removes it after the scenario. Thread-safe."""

    def __init__(self, server: ServerInfo) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._checked: dict[str, str] = {}  # the settings that were checked last
        self._objects = ObjectList()  # kept between files
        self._connections: dict[str, ConnectionCache] = {}  # of plain files, by their connection strings
        self._connection: Connection | None = None  # that prepared the last file
        self._contents: Contents | None = None  # that the last file needed, if nothing had to be installed
        self.clean = True  # everything that was installed was removed

    @contextmanager
    def sandbox(
        self, extensions: tuple[str, ...], contents: Contents = Contents.TOOLKIT, *, reuse: bool = False
    ) -> Iterator[Sandbox]:
        """Provide the database for one file; others wait.

        Args:
            extensions: to create beside pgTAP and the toolkit, if they are missing.
            contents: what to install. A plain pgTAP file needs pgTAP only, as under pg_prove.
            reuse: connections of earlier plain files, whose state is as new, suffice.

        Yields:
            The database; with the toolkit it has a schema of the scenario, first on the search_path.

        Raises:
            ServerError: the server does not answer, or something cannot be installed or removed.
        """
        server, plain = self._server, reuse and not extensions
        with self._lock, ExitStack() as stack:
            # what a scenario creates without naming a schema is dropped afterwards, as in a database of its own
            schema = in_place.SANDBOX_SCHEMA if contents is Contents.TOOLKIT else ""
            # the database has other users: by this setting the toolkit, and its removal, find the run's sessions
            mark = {MARK: server.run.id} if schema else {}
            if plain and contents is self._contents and self._is_unchanged():
                path, pgtap_schema = self._objects.path, None
            else:
                path, pgtap_schema = self._install(stack, extensions, contents, schema, mark)
                # if nothing was installed, the next plain file may find the database unchanged
                self._contents = contents if plain and pgtap_schema is None else None
            if self._contents is None:
                # this file must not get the connections of other files
                self.clear()
            required_settings = {}
            if schema or pgtap_schema:
                required_settings["search_path"] = ", ".join(filter(None, (schema, path, pgtap_schema)))
            required_settings |= mark
            # functions of the user's may have the names of pgTAP's
            hidden = schema and pgtap_schema
            check_settings = {"search_path": f"{schema}, {pgtap_schema}, {path}"} if hidden else {}
            yield Sandbox(
                server.database,
                server.conninfo_with(required_settings),
                in_place=True,
                schema=schema,
                report_silent_backend=server.health.report_silent_backend,
                required_settings=required_settings,
                check_settings=check_settings,
                objects=self._objects,
                close_unused=self.clear,
                plain_connections=self._connections_made_by if self._contents is not None else None,
            )

    def _install(
        self, stack: ExitStack, extensions: tuple[str, ...], contents: Contents, schema: str, mark: Mapping[str, str]
    ) -> tuple[str, str | None]:
        """Install what a file needs until the context ends; return the search path, and what `installed` yields."""
        server = self._server
        try:
            conn = psycopg.connect(server.without_timeouts(APPLICATION + server.run.id), autocommit=True)
        except psycopg.OperationalError as error:
            raise ServerError(f"the server does not answer: {str(error).strip()}") from error
        stack.callback(self._end, conn)
        with server.health.shutdown_if_silent(conn):
            (path,) = conn.execute("SHOW search_path").fetchone() or ("public",)
        self._check_settings({"search_path": ", ".join(filter(None, (schema, str(path)))), **mark})
        installed = in_place.installed(
            conn, server.health, server.run, extensions, server.settings.pgtap, contents, self._note_clean
        )
        pgtap_schema = stack.enter_context(installed)
        if pgtap_schema is None:
            previous, self._connection = self._connection, conn
            if previous is not None:
                previous.close()
        return str(path), pgtap_schema

    def _note_clean(self, clean: bool) -> None:
        self.clean = clean

    def _end(self, conn: Connection) -> None:
        """Close the connection of a file, unless the next file uses it."""
        if conn is not self._connection:
            conn.close()

    def _is_unchanged(self) -> bool:
        """Return whether nothing was committed since the last file, so that it left the database unchanged."""
        if self._connection is None or not self._objects.snapshot:
            return False
        try:
            with self._server.health.shutdown_if_silent(self._connection):
                row = self._connection.execute(self._objects.unchanged_query().encode()).fetchone()
        except psycopg.Error:
            return False  # the connection is lost: a new one reports the reason
        return row is not None and self._objects.is_unchanged(row)

    def _connections_made_by(self, conninfo: str) -> ConnectionCache:
        return self._connections.setdefault(conninfo, ConnectionCache(conninfo))

    def clear(self) -> None:
        """Close the connections that are kept for the next file."""
        for cache in self._connections.values():
            cache.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def track_contents(self) -> tuple[Callable[[], list[str]], tuple[str, ...]]:
        """Read the tables and sequences of the database, before the runs of a search.

        Returns:
            A function that lists those whose contents have changed; and the names of those that cannot be read.

        Raises:
            ServerError: they cannot be read.
        """
        database = self._server.database
        try:
            with self._transaction() as conn:
                state_query, unreadable = read_contents(conn)
        except psycopg.errors.LockNotAvailable as error:
            raise ServerError(
                f"cannot read database {database}: another session has locked one of its tables for too long"
            ) from error
        except psycopg.Error as error:
            raise ServerError(f"cannot read database {database}: {str(error).strip()}") from error

        def changed() -> list[str]:
            try:
                with self._transaction() as conn:
                    rows = conn.execute(state_query.query.encode()).fetchall()
            except psycopg.Error as error:
                return [f"what can no longer be read ({str(error).strip()})"]
            return state_query.changed(rows)

        return changed, unreadable

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Begin a transaction in the database that does not wait for long for a lock of another session."""
        server = self._server
        with server.connect() as conn, server.health.shutdown_if_silent(conn), conn.transaction():
            conn.execute(in_place.LOCK_TIMEOUT)
            yield conn

    def _check_settings(self, settings: Mapping[str, str]) -> None:
        """Check, before anything is created, that sessions start with the requested settings.

        Plain files always have the same settings, so one check is enough. Each of their sessions is checked again.
        """
        if self._checked == settings:
            return
        try:
            conninfo = self._server.conninfo_with(settings)
            with psycopg.connect(conninfo, autocommit=True) as conn, self._server.health.shutdown_if_silent(conn):
                row = conn.execute(settings_query(settings).encode()).fetchone()
                assert row is not None
                wrong = settings_difference(settings, row, conn.info.backend_pid)
        except psycopg.Error as error:
            raise ServerError(
                f"--chaos-in-place needs sessions that start with {', '.join(settings)}, and the server refuses one: "
                f"{str(error).strip()}"
            ) from error
        if wrong:
            raise ServerError(f"nothing was created in database {self._server.database}: {wrong}")
        self._checked = dict(settings)
