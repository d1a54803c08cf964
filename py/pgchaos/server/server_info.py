"""A server as it was found: what it is, who we are there, and how to connect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

from pgchaos.safe_output import one_line
from pgchaos.server.answering import Answering
from pgchaos.server.conninfo import ADMIN_SETTINGS, Connection, ServerChoice, make_conninfo, with_settings
from pgchaos.server.private import PrivateServer
from pgchaos.server.run_id import RunId
from pgchaos.server.server_inspection import free_slots, inspect_server, most_connections
from pgchaos.server.settings import ServerError, ServerSettings


class ServerInfo:
    """A server, ours or not, that can be used. Nothing is made on it here.

    Args:
        settings: what the user said.
        choice: which server it is.
        private: the server itself, if it is ours.

    Raises:
        ServerError: it cannot be reached or used.
    """

    def __init__(self, settings: ServerSettings, choice: ServerChoice, private: PrivateServer | None) -> None:
        self.settings = settings
        self._private = private
        self._run = RunId.new()
        base = make_conninfo(**private.parameters) if private is not None else choice.conninfo or ""
        self._probe = inspect_server(base, choice, private is not None, settings.in_place)
        self.answering = Answering(self.administrative())
        """Whether it still answers."""

    @property
    def ours(self) -> bool:
        """Whether this run started it."""
        return self._private is not None

    @property
    def private(self) -> PrivateServer | None:
        """The private server: its log, its programs and its postmaster's pid; None for a server not ours."""
        return self._private

    @property
    def run(self) -> RunId:
        """The run, as it is written beside what it makes."""
        return self._run

    @property
    def place(self) -> str:
        """Where it is: host and port."""
        return self._probe.place

    @property
    def database(self) -> str:
        """The database to administer from; with `in_place` the one to work in."""
        return self._probe.database

    @property
    def version(self) -> int:
        """The server's version as libpq gives it: 180006."""
        return self._probe.version

    @property
    def shown(self) -> str:
        """The same for people: 18.6."""
        return self._probe.shown

    @property
    def superuser(self) -> bool:
        """Whether our role is a superuser."""
        return self._probe.superuser

    @property
    def role(self) -> str:
        """The name of our role."""
        return self._probe.role

    @property
    def banner(self) -> str:
        """One line for the head of a report: server, version, and whether it is ours."""
        if self._private is not None:
            of = "" if self._probe.embedded else f" of {self._private.bindir}"
            return f"PostgreSQL {self._probe.shown}, private server{of} (ours)"
        place = f"in place in database {one_line(self._probe.database)}"
        works = place if self.in_place else "only in databases pgchaos_…"
        if self._probe.loud:
            loud = one_line(", ".join(self._probe.loud))
            works += f"; event triggers that fire for what is brought in: {loud}"
        return (
            f"PostgreSQL {self._probe.shown} at {one_line(self._probe.place)}, role {one_line(self._probe.role)} "
            f"(not ours: works {works})"
        )

    @property
    def in_place(self) -> bool:
        """Whether scenarios work in the database that the user named."""
        return self.settings.in_place

    @property
    def may_be_harmed(self) -> bool:
        """Whether server-wide harm is permitted: it is ours, or the user named its database for that."""
        return self.ours or self._probe.database in self.settings.allow_destructive

    def conninfo(self, database: str | None = None) -> str:
        """Say how to connect.

        Args:
            database: its name, None for the one to administer from.

        Returns:
            A connection string for libpq; it may hold a password.
        """
        return make_conninfo(self._probe.conninfo, **({} if database is None else {"dbname": database}))

    def administrative(self, database: str | None = None) -> str:
        """Say how to connect for administration: what the user wants sessions to begin with does not break that."""
        # poolers take no settings at the start of a session unless told to: none are sent where none were
        return with_settings(self.conninfo(database), ADMIN_SETTINGS if self._probe.options else {})

    def connect(self, database: str | None = None) -> Connection:
        """Connect, for administration.

        Args:
            database: its name, None for the one to administer from.

        Returns:
            A connection in autocommit mode; the caller closes it.

        Raises:
            psycopg.OperationalError: the server cannot be reached.
        """
        return psycopg.connect(self.administrative(database), autocommit=True)

    def free_slots(self) -> int:
        """Count the connections that may still be made.

        Returns:
            How many; not those that are reserved for others.

        Raises:
            ServerError: the server cannot be asked.
        """
        with self.asking() as conn:
            return free_slots(conn)

    def most_connections(self) -> int:
        """Count the connections that the server takes while nobody else is there.

        Returns:
            How many; not those that are reserved for others.

        Raises:
            ServerError: the server cannot be asked.
        """
        with self.asking() as conn:
            return most_connections(conn)

    @contextmanager
    def asking(self) -> Iterator[Connection]:
        """Connect to ask something."""
        try:
            with self.connect() as conn, self.answering.attending(conn):
                yield conn
        except psycopg.OperationalError as error:
            raise ServerError(f"the server does not answer: {str(error).strip()}") from error

    def conninfo_with(self, parameters: Mapping[str, str], database: str | None = None) -> str:
        """Say how to connect so that a session begins with parameters of its own."""
        return with_settings(self.conninfo(database), parameters)
