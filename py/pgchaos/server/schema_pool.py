"""A database that several scenarios use at once: schemas made ahead of use and dropped behind it, by one thread."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pgchaos.server.answering import Answering
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.conninfo import Connection
from pgchaos.server.database_factory import connect_for_long
from pgchaos.server.settings import ServerError
from pgchaos.server.threads import start, traceback_lines

if TYPE_CHECKING:
    from typing_extensions import LiteralString

SCHEMA_PLACEHOLDER = "chaos_some_schema"
"""Stands for the name of a schema."""

_AHEAD = 8
"""Empty schemas made ready at a time, when half of them are gone: to make or drop several takes one round trip."""
_PILE = 16
"""Used schemas that may wait for their end while new ones are asked for."""
_TOGETHER = 8
"""Used schemas that are dropped at a time."""
_LINGER = 0.05
"""Seconds that a used schema waits for others to be dropped with."""
_TAKE_LIMIT = 60.0
_AGAIN = 1.0
"""Seconds until a schema that somebody holds is tried again."""


class SharedDatabase:
    """Schemas in one database, one for each scenario.

    Args:
        name: of the database. It is dropped by who made it, with all that could not be dropped here.
        conninfo: how to connect to it.
        inside: how a session of a scenario does so, with A_SCHEMA where its schema stands.
        answering: of its server.
    """

    def __init__(self, name: str, conninfo: str, inside: str, answering: Answering) -> None:
        self.name, self._answering = name, answering
        self._inside = inside
        self.spoiled: tuple[str, ...] = ()
        """What has been found to be changed in it outside its schemas."""
        self.shelf = ConnectionCache(conninfo)
        self._conn: Connection | None = None
        self._changed = threading.Condition()
        self._number = 0
        self._ready: deque[str] = deque()
        self._used: deque[tuple[float, str]] = deque()
        self._broken = self._dead = ""
        self._busy = self._hurry = self._closing = False
        self._thread = threading.Thread(target=self._work, name="pgchaos schemas", daemon=True)
        start(self._thread)

    def take(self, limit: float = _TAKE_LIMIT) -> str:
        """Take an empty schema.

        Args:
            limit: seconds to wait.

        Returns:
            Its name, which is no other's for as long as the database lives.

        Raises:
            ServerError: none can be made; the message says why.
        """
        self._answering.demand()
        end = time.monotonic() + limit
        with self._changed:
            if self._broken:
                self._broken = ""
                self._changed.notify_all()
            while not self._ready:
                if self._dead or self._broken or self._closing:
                    raise ServerError(self._dead or self._broken or "the server is being closed")
                if time.monotonic() > end:
                    raise ServerError(f"no schema was made within {limit:g} s")
                self._answering.wait_on(self._changed, end - time.monotonic())
            name = self._ready.popleft()
            if self._lacks():
                self._changed.notify_all()
            return name

    def lost(self) -> bool:
        """Say whether the server has ended our connection: it was restarted, or somebody dropped the database.

        Asks nothing: a server that ends a connection says so on it, where nothing was asked.
        """
        with self._changed:
            if self._busy or self._conn is None:
                return False
            if self._conn.closed:
                return True
            heard = select.poll()
            heard.register(self._conn.fileno(), select.POLLIN)
            return bool(heard.poll(0))

    def conninfo_of(self, schema: str) -> str:
        """Say how a session of a scenario connects.

        Args:
            schema: of the scenario.
        """
        # put together by libpq once: to do so for each of many takes longer than to connect
        return self._inside.replace(SCHEMA_PLACEHOLDER, schema)

    def give_back(self, schema: str) -> None:
        """Have a schema dropped with all that is in it, some time soon.

        Args:
            schema: taken here.
        """
        with self._changed:
            self._used.append((time.monotonic(), schema))
            if len(self._used) in (1, _TOGETHER):
                # the worker sleeps until there is one, and then until its time has come or there are enough
                self._changed.notify_all()

    def rest(self, limit: float) -> None:
        """Wait until no schema is being made or dropped, nor is to be.

        Args:
            limit: seconds to wait. What a straggler holds up is tried again later, and not waited for.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._closing or self._broken or self._dead or not (self._busy or self._due() or self._lacks()),
                limit,
            )
            self._hurry = False

    def close(self, wait: Callable[[threading.Thread], object] = lambda thread: thread.join(5.0)) -> None:
        """Make no more schemas, and end all connections.

        Args:
            wait: for the end of the thread, which may be doing something.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.shelf.close()
        wait(self._thread)

    def _work(self) -> None:
        try:
            self._work_on()
        except Exception as error:  # a bug of ours: those who wait must hear of it
            with self._changed:
                self._dead = "\n".join(("internal error of pgchaos where schemas are made:", *traceback_lines(error)))
                self._changed.notify_all()
            raise

    def _work_on(self) -> None:
        try:
            while (todo := self._wait()) is not None:
                self._do(todo)
        finally:
            if self._conn is not None:
                self._conn.close()

    def _lacks(self) -> bool:
        return len(self._ready) <= _AHEAD // 2 and not self._broken

    def _wait(self) -> list[str] | None:
        """Wait for something to do: schemas to drop, none of them to make some, None for the end."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            while not self._closing:
                now, due = time.monotonic(), self._due()
                lacks = self._lacks()
                if len(due) > _PILE or (due and not lacks and self._is_time(due, now)):
                    due = due[:_TOGETHER]
                    for one in due:
                        self._used.remove(one)
                    self._busy = True
                    return [schema for _, schema in due]
                if lacks:
                    self._busy = True
                    return []
                self._changed.wait(min((since for since, _ in self._used), default=now + 60) + _LINGER - now)
            return None

    def _due(self) -> list[tuple[float, str]]:
        now = time.monotonic()
        return [(since, schema) for since, schema in self._used if since <= now]

    def _is_time(self, due: list[tuple[float, str]], now: float) -> bool:
        return self._hurry or len(due) >= _TOGETHER or due[0][0] + _LINGER <= now

    def _do(self, schemas: list[str]) -> None:
        try:
            try:
                self._perform(schemas)
            except psycopg.OperationalError:
                if self._conn is not None and not self._conn.closed:
                    raise
                self._perform(schemas)  # once more: the server may only have been restarted
        except psycopg.Error as error:
            self._fail(schemas, error)

    def _fail(self, schemas: list[str], error: psycopg.Error) -> None:
        if len(schemas) > 1:
            # one of them holds up the others
            for schema in schemas:
                self._do([schema])
            return
        with self._changed:
            if schemas:
                # a straggler holds it, or the server restarts; in the end the database goes with it
                self._used.append((time.monotonic() + _AGAIN, schemas[0]))
            else:
                self._broken = f"the server can make no schema: {str(error).strip()}"
            self._changed.notify_all()

    def _perform(self, schemas: list[str]) -> None:
        if schemas:
            self._drop(schemas)
        else:
            self._make()

    def _make(self) -> None:
        with self._changed:
            lacking = _AHEAD - len(self._ready)
        names = [f"chaos_s{self._number + n}" for n in range(1, lacking + 1)]
        self._number += lacking
        self._connection().execute(_each("CREATE SCHEMA {name}", names))
        with self._changed:
            self._ready += names
            self._changed.notify_all()

    def _drop(self, schemas: list[str]) -> None:
        # what goes in one message is one transaction (PostgreSQL docs, "Multiple Statements in a Simple Query")
        self._connection().execute(_each("DROP SCHEMA IF EXISTS {name} CASCADE; SELECT chaos._forget({text})", schemas))

    def _connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn = connect_for_long(self.shelf.conninfo, "pgchaos schemas")
            self._conn.execute("SET lock_timeout = '200ms'; SET client_min_messages = 'warning'")
        return self._conn


def _each(statement: LiteralString, schemas: list[str]) -> sql.Composed:
    template = sql.SQL(statement)
    return sql.SQL("; ").join(template.format(name=sql.Identifier(one), text=sql.Literal(one)) for one in schemas)
