"""The database that the user named, lent to one scenario after another."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import psycopg

from pgchaos.language.plain_files import Contents
from pgchaos.server import in_place
from pgchaos.server.connection_checks import difference, question
from pgchaos.server.conninfo import make_conninfo
from pgchaos.server.run_id import APPLICATION
from pgchaos.server.sandbox import MARK, Sandbox
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.settings import ServerError


class NamedDatabase:
    """Lends it, with what is brought in for a scenario and taken out after it.

    Args:
        server: the database is the one that it was reached by.
    """

    def __init__(self, server: ServerInfo) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.clean = True
        """Whether all that was brought in has gone again."""

    @contextmanager
    def sandbox(self, extensions: tuple[str, ...], contents: Contents = Contents.TOOLKIT) -> Iterator[Sandbox]:
        """Lend it to one file; others wait.

        Args:
            extensions: to create beside pgTAP and the toolkit, where they are missing.
            contents: what it needs. A plain pgTAP file finds the database as pg_prove does, with pgTAP in it.

        Yields:
            The database; with the toolkit there is a schema of the scenario's own, first on the search_path.

        Raises:
            ServerError: the server does not answer, or what is needed cannot be brought in or out.
        """
        server = self._server
        with self._lock, ExitStack() as stack:
            application = APPLICATION + server.run.id
            try:
                conninfo = make_conninfo(server.conninfo(), application_name=application)
                conn = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
            except psycopg.OperationalError as error:
                raise ServerError(f"the server does not answer: {str(error).strip()}") from error
            with server.answering.attending(conn):
                (path,) = conn.execute("SHOW search_path").fetchone() or ("public",)
            # what a scenario makes without saying where goes with the run, as it would in a database of its own
            own = in_place.SANDBOX_SCHEMA if contents is Contents.TOOLKIT else ""
            # others work in this database: the toolkit finds the run's own sessions by this
            mark = {MARK: secrets.token_hex(8)} if own else {}
            self._verify({"search_path": ", ".join(filter(None, (own, str(path)))), **mark})
            self.clean = False
            brought = in_place.installed(
                conn, server.answering, server.run, extensions, server.settings.pgtap, contents
            )
            where = stack.enter_context(brought)
            begins = {"search_path": ", ".join(filter(None, (own, str(path), where)))} if own or where else {}
            begins |= mark
            inside = server.conninfo_with(begins)
            yield Sandbox(
                server.database, inside, in_place=True, schema=own, doubt=server.answering.doubt, begins=begins
            )
        self.clean = server.answering.answers()

    def _verify(self, settings: Mapping[str, str]) -> None:
        """Make sure, before anything is made, that sessions begin as they are asked to."""
        try:
            conninfo = self._server.conninfo_with(settings)
            with psycopg.connect(conninfo, autocommit=True) as conn, self._server.answering.attending(conn):
                row = conn.execute(question(settings).encode()).fetchone()
                assert row is not None
                wrong = difference(settings, row, conn.info.backend_pid)
        except psycopg.Error as error:
            raise ServerError(
                f"a session that begins with {', '.join(settings)} is refused, and in place each scenario needs one: "
                f"{str(error).strip()}"
            ) from error
        if wrong:
            raise ServerError(f"nothing was made in database {self._server.database}: {wrong}")
