"""The database that the user named, in which one scenario runs after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import psycopg

from pgchaos.language.plain_files import Contents
from pgchaos.server import in_place
from pgchaos.server.connection_checks import settings_difference, settings_query
from pgchaos.server.conninfo import NO_TIMEOUTS, with_settings
from pgchaos.server.outside_schemas import read_contents
from pgchaos.server.run_id import APPLICATION
from pgchaos.server.sandbox import MARK, ObjectList, Sandbox
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.settings import ServerError


class NamedDatabase:
    """Installs what a scenario needs in the user's database, and removes it after the scenario. Thread-safe."""

    def __init__(self, server: ServerInfo) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._checked: dict[str, str] = {}  # the settings with which a session was seen to start last
        self._objects = ObjectList()  # from one file to the next
        self.clean = True  # all that was installed is removed again

    @contextmanager
    def sandbox(self, extensions: tuple[str, ...], contents: Contents = Contents.TOOLKIT) -> Iterator[Sandbox]:
        """Give the database to one file; others wait.

        Args:
            extensions: to create beside pgTAP and the toolkit, if they are missing.
            contents: what to install. A plain pgTAP file needs pgTAP only, as under pg_prove.

        Yields:
            The database; with the toolkit it has a schema of the scenario, first on the search_path.

        Raises:
            ServerError: the server does not answer, or something cannot be installed or removed.
        """
        server = self._server
        with self._lock, ExitStack() as stack:
            application = APPLICATION + server.run.id
            try:
                conninfo = with_settings(server.conninfo(), NO_TIMEOUTS, application_name=application)
                conn = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
            except psycopg.OperationalError as error:
                raise ServerError(f"the server does not answer: {str(error).strip()}") from error
            with server.health.shutdown_if_silent(conn):
                (path,) = conn.execute("SHOW search_path").fetchone() or ("public",)
            # what a scenario creates without a schema's name is dropped after it, as in a database of its own
            own = in_place.SANDBOX_SCHEMA if contents is Contents.TOOLKIT else ""
            # other sessions use this database: the toolkit, and what removes it, find the run's own by this setting
            mark = {MARK: server.run.id} if own else {}
            self._check_settings({"search_path": ", ".join(filter(None, (own, str(path)))), **mark})
            self.clean = False
            installed = in_place.installed(conn, server.health, server.run, extensions, server.settings.pgtap, contents)
            where = stack.enter_context(installed)
            required_settings = (
                {"search_path": ", ".join(filter(None, (own, str(path), where)))} if own or where else {}
            )
            required_settings |= mark
            inside = server.conninfo_with(required_settings)
            yield Sandbox(
                server.database,
                inside,
                in_place=True,
                schema=own,
                report_silent_backend=server.health.report_silent_backend,
                required_settings=required_settings,
                objects=self._objects,
            )
        self.clean = server.health.answers()

    def contents(self) -> Callable[[], list[str]]:
        """Read the tables and sequences of the named database, before the runs of a search.

        Returns:
            A function that lists those that have other contents now.

        Raises:
            ServerError: they cannot be read.
        """
        server = self._server
        try:
            with server.connect() as conn, server.health.shutdown_if_silent(conn):
                state_query = read_contents(conn)
        except psycopg.Error as error:
            raise ServerError(f"cannot read database {server.database}: {str(error).strip()}") from error

        def changed() -> list[str]:
            try:
                with server.connect() as conn, server.health.shutdown_if_silent(conn):
                    rows = conn.execute(state_query.query.encode()).fetchall()
            except psycopg.Error as error:
                return [f"what can no longer be read ({str(error).strip()})"]
            return state_query.changed(rows)

        return changed

    def _check_settings(self, settings: Mapping[str, str]) -> None:
        """Check, before anything is created, that sessions start with the settings that they are given.

        Plain files have the same ones each time. Each session of theirs is checked again when it starts.
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
