"""The database that the user named, lent to one scenario after another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from pgchaos.server import in_place
from pgchaos.server.conninfo import make_conninfo
from pgchaos.server.reached import Reached
from pgchaos.server.records import APPLICATION
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.settings import ServerError


class NamedDatabase:
    """Lends it, with what is brought in for a scenario and taken out after it.

    Args:
        server: the database is the one that it was reached by.
    """

    def __init__(self, server: Reached) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.clean = True
        """Whether all that was brought in has gone again."""

    @contextmanager
    def sandbox(self, extensions: tuple[str, ...]) -> Iterator[Sandbox]:
        """Lend it to one scenario; others wait.

        Args:
            extensions: to create beside pgTAP and the toolkit, where they are missing.

        Yields:
            The database, with a schema of the scenario's own first on the search_path.

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
            self.clean = False
            stack.enter_context(in_place.furnished(conn, server.run, extensions, server.settings.pgtap))
            (path,) = conn.execute("SHOW search_path").fetchone() or ("public",)
            # what a scenario makes without saying where goes with the run, as it would in a database of its own
            own = in_place.SANDBOX_SCHEMA
            inside = server.conninfo_with({"search_path": f"{own}, {path}, {in_place.PGTAP_SCHEMA}"})
            yield Sandbox(server.database, inside, in_place=True, schema=own)
        self.clean = True
