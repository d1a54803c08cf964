"""A database that several scenarios use at once: schemas made ahead of use and dropped behind it, by one thread."""

from __future__ import annotations

import threading
import time
from collections import deque

import psycopg
from psycopg import sql

from pgchaos.server.maker import connect_for_long
from pgchaos.server.settings import ServerError
from pgchaos.server.shelf import Shelf

A_SCHEMA = "chaos_some_schema"
"""Stands for the name of a schema."""

_AHEAD = 4
"""Empty schemas kept ready."""
_PILE = 16
"""Used schemas that may wait for their end while new ones are asked for."""
_TAKE_LIMIT = 60.0
_AGAIN = 1.0
"""Seconds until a schema that somebody holds is tried again."""


class SharedDatabase:
    """Schemas in one database, one for each scenario.

    Args:
        name: of the database. It is dropped by who made it, with all that could not be dropped here.
        conninfo: how to connect to it.
        inside: how a session of a scenario does so, with A_SCHEMA where its schema stands.
    """

    def __init__(self, name: str, conninfo: str, inside: str) -> None:
        self.name = name
        self._inside = inside
        self.shelf = Shelf(conninfo)
        self._conn: psycopg.Connection[tuple[object, ...]] | None = None
        self._changed = threading.Condition()
        self._number = 0
        self._ready: deque[str] = deque()
        self._used: deque[tuple[float, str]] = deque()
        self._broken = ""
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="pgchaos schemas", daemon=True)
        self._thread.start()

    def take(self, limit: float = _TAKE_LIMIT) -> str:
        """Take an empty schema.

        Args:
            limit: seconds to wait.

        Returns:
            Its name, which is no other's for as long as the database lives.

        Raises:
            ServerError: none can be made; the message says why.
        """
        end = time.monotonic() + limit
        with self._changed:
            self._broken = ""
            self._changed.notify_all()
            while not self._ready:
                if self._broken or self._closing:
                    raise ServerError(self._broken or "the server is being closed")
                if time.monotonic() > end:
                    raise ServerError(f"no schema was made within {limit:g} s")
                self._changed.wait(end - time.monotonic())
            name = self._ready.popleft()
            self._changed.notify_all()
            return name

    def conninfo_of(self, schema: str) -> str:
        """Say how a session of a scenario connects.

        Args:
            schema: of the scenario.
        """
        # put together by libpq once: to do so for each of many takes longer than to connect
        return self._inside.replace(A_SCHEMA, schema)

    def give_back(self, schema: str) -> None:
        """Have a schema dropped with all that is in it, some time soon.

        Args:
            schema: taken here.
        """
        with self._changed:
            self._used.append((0.0, schema))
            self._changed.notify_all()

    def close(self, limit: float = 5.0) -> None:
        """Make no more schemas, and end all connections.

        Args:
            limit: seconds to wait for what is being done.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.shelf.close()
        self._thread.join(limit)

    def _work(self) -> None:
        try:
            while (todo := self._wait()) is not None:
                self._do(todo)
        finally:
            if self._conn is not None:
                self._conn.close()

    def _wait(self) -> str | None:
        """Wait for something to do: a schema to drop, '' to make some, None for the end."""
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                due = [one for one in self._used if one[0] <= now]
                lacking = len(self._ready) < _AHEAD and not self._broken
                if due and (not lacking or len(due) > _PILE):
                    self._used.remove(due[0])
                    return due[0][1]
                if lacking:
                    return ""
                self._changed.wait(min((one[0] for one in self._used), default=now + 60) - now)
            return None

    def _do(self, schema: str) -> None:
        try:
            try:
                self._perform(schema)
            except psycopg.OperationalError:
                if self._conn is not None and not self._conn.closed:
                    raise
                self._perform(schema)  # once more: the server may only have been restarted
        except psycopg.Error as error:
            with self._changed:
                if schema:
                    # a straggler holds it, or the server restarts; in the end the database goes with it
                    self._used.append((time.monotonic() + _AGAIN, schema))
                else:
                    self._broken = f"the server can make no schema: {str(error).strip()}"
                self._changed.notify_all()

    def _perform(self, schema: str) -> None:
        if schema:
            self._drop(schema)
        else:
            self._make()

    def _make(self) -> None:
        with self._changed:
            lacking = _AHEAD - len(self._ready)
        names = [f"chaos_s{self._number + n}" for n in range(1, lacking + 1)]
        self._number += lacking
        create = sql.SQL("; ").join(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)) for name in names)
        self._connection().execute(create)
        with self._changed:
            self._ready += names
            self._changed.notify_all()

    def _drop(self, schema: str) -> None:
        name = sql.Identifier(schema)
        with self._connection().transaction():
            self._connection().execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
            self._connection().execute("SELECT chaos._forget(%s)", [schema])

    def _connection(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._conn is None or self._conn.closed:
            self._conn = connect_for_long(self.shelf.conninfo, "pgchaos schemas")
            self._conn.execute("SET lock_timeout = '200ms'; SET client_min_messages = 'warning'")
        return self._conn
