"""A server that can be used: its properties, and how to connect to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import psycopg

from pgchaos.safe_output import one_line
from pgchaos.server.conninfo import (
    ADMIN_SETTINGS,
    NO_TIMEOUTS,
    Connection,
    ServerChoice,
    for_version,
    make_conninfo,
    with_settings,
)
from pgchaos.server.health import ServerHealth
from pgchaos.server.private import PrivateServer
from pgchaos.server.run_id import RunId
from pgchaos.server.server_inspection import inspect_server
from pgchaos.server.settings import ServerError, ServerSettings

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_FREE = """
    SELECT least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0)
            - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
        (SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)
            - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = CURRENT_USER))
"""
_CONNECTIONS = """
    SELECT current_setting('max_connections')::int
        - CASE WHEN current_setting('is_superuser') = 'on' THEN 0
               ELSE current_setting('superuser_reserved_connections')::int
                    + coalesce(current_setting('reserved_connections', true)::int, 0) END
"""


class ServerInfo:
    """A server, private or not. Nothing is created on it here.

    Args:
        settings: the user's options.
        choice: the chosen server.
        private: the server itself, if this run started it.

    Attributes:
        private: None for a server that is not ours.
        run: the owner of what is created.
        address: host and port.
        database: the database to administer from; with `in_place` the one to work in.
        version: as libpq gives it: 180006.
        version_text: 18.6.
        superuser: whether our role is a superuser.
        role: the name of our role.
        encoding: of the databases in which scenarios run, by PostgreSQL's name.
        in_place: whether scenarios work in the database that the user named.
        health: whether the server still answers.

    Raises:
        ServerError: it cannot be reached or used.
    """

    def __init__(self, settings: ServerSettings, choice: ServerChoice, private: PrivateServer | None) -> None:
        self.settings = settings
        self.private = private
        self.run = RunId.new()
        base = make_conninfo(**private.parameters) if private is not None else choice.conninfo or ""
        found = self._properties = inspect_server(base, choice, private is not None, settings.in_place)
        self.address, self.database, self.role = found.address, found.database, found.role
        self.version, self.version_text = found.version, found.version_text
        self.superuser, self.encoding = found.superuser, found.encoding
        self.in_place = settings.in_place
        self.health = ServerHealth(self.administrative())

    @property
    def ours(self) -> bool:
        """Whether this run started it."""
        return self.private is not None

    @cached_property
    def banner(self) -> str:
        """One line for the head of a report: server, version, and whether it is ours."""
        if self.private is not None:
            of = "" if self._properties.embedded else f" of {self.private.bindir}"
            return f"PostgreSQL {self.version_text}, private server{of} (ours)"
        place = f"in place in database {one_line(self.database)}"
        works = place if self.in_place else "only in databases pgchaos_…"
        if self._properties.firing_event_triggers:
            triggers = one_line(", ".join(self._properties.firing_event_triggers))
            works += f"; event triggers that fire for what pgchaos installs: {triggers}"
        return (
            f"PostgreSQL {self.version_text} at {one_line(self.address)}, role {one_line(self.role)} "
            f"(not ours: works {works})"
        )

    @property
    def may_be_harmed(self) -> bool:
        """Whether harm to the whole server is permitted: it is ours, or the user named its database for that."""
        return self.ours or self.database in self.settings.allow_destructive

    def conninfo(self, database: str | None = None) -> str:
        """Return a connection string for a database, None for the one to administer from. It may contain a password."""
        return make_conninfo(self._properties.conninfo, **({} if database is None else {"dbname": database}))

    def conninfo_with(self, parameters: Mapping[str, str], database: str | None = None) -> str:
        """Return a connection string for sessions that start with these settings."""
        return with_settings(self.conninfo(database), parameters)

    def administrative(self, database: str | None = None) -> str:
        """Return a connection string for administration; it overrides settings of the user and the role."""
        return self.conninfo_with(for_version(ADMIN_SETTINGS, self.version), database)

    def without_timeouts(self, application_name: str) -> str:
        """Return a connection string for sessions that wait long; it overrides the time-outs of the role."""
        settings = for_version(NO_TIMEOUTS, self.version)
        return with_settings(self.conninfo(), settings, application_name=application_name)

    def connect(self, database: str | None = None) -> Connection:
        """Connect for administration, in autocommit mode; psycopg.OperationalError if the server cannot be reached."""
        return psycopg.connect(self.administrative(database), autocommit=True)

    def free_slots(self) -> int:
        """Count the free slots that are not reserved, up to the limit of our role; ServerError without an answer."""
        return max(0, self._count(_FREE))

    def most_connections(self) -> int:
        """Count the slots that are not reserved for other roles; ServerError without an answer."""
        return self._count(_CONNECTIONS)

    def _count(self, query: LiteralString) -> int:
        with self.checked_connection() as conn:
            row = conn.execute(query).fetchone()
        assert row is not None
        return int(str(row[0]))

    @contextmanager
    def checked_connection(self) -> Iterator[Connection]:
        """Connect for a query; ServerError if the server does not answer."""
        try:
            with self.connect() as conn, self.health.shutdown_if_silent(conn):
                yield conn
        except psycopg.Error as error:
            raise ServerError(f"the server does not answer: {str(error).strip()}") from error
