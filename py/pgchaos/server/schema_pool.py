"""A database that several scenarios use at once: a thread creates schemas in advance and drops them after use."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.conninfo import Connection
from pgchaos.server.database_factory import connect_for_long
from pgchaos.server.health import ServerHealth
from pgchaos.server.settings import ServerError
from pgchaos.server.threads import internal_error, start

if TYPE_CHECKING:
    from typing_extensions import LiteralString

SCHEMA_PLACEHOLDER = "chaos_some_schema"  # replaced by the name of a schema

# empty schemas created at a time, when half of them are used: several need only one round trip
_AHEAD = 8
_MOST_USED = 16  # used schemas that may wait to be dropped while new ones are needed
_BATCH = 8  # used schemas that are dropped at a time
_LINGER = 0.05  # seconds that a used schema waits for others, to be dropped together
_TAKE_LIMIT = 60.0
SENDS_COUNTERS = 150000  # the first version with pg_stat_force_next_flush()
_RETRY_AFTER = 1.0  # seconds until the next try to drop a schema that is in use


class SharedDatabase:
    """Schemas in one database, one for each scenario. Thread-safe.

    Args:
        name: the database. Its creator drops it, with the schemas that could not be dropped here.
        conninfo: how to connect to it.
        administrative: how to connect to it to create and drop schemas.
        inside: connection string for sessions of a scenario, with SCHEMA_PLACEHOLDER for its schema.
        health: of its server.
    """

    def __init__(self, name: str, conninfo: str, administrative: str, inside: str, health: ServerHealth) -> None:
        self.name, self._health = name, health
        self._administrative, self._inside = administrative, inside
        self.outside_changes: tuple[str, ...] = ()  # what a run found changed outside its schemas
        self.searches = 0  # that have used it
        self.connection_cache = ConnectionCache(conninfo)
        self._conn: Connection | None = None
        self._changed = threading.Condition()
        self._number = 0
        self._ready: deque[str] = deque()
        self._used: deque[tuple[float, str]] = deque()
        self._error = self._internal_error = ""
        self._busy = self._hurry = self._restocking = self._closing = False
        self._thread = threading.Thread(target=self._work, name="pgchaos schemas", daemon=True)
        start(self._thread)

    def take(self, limit: float = _TAKE_LIMIT) -> str:
        """Take an empty schema, after at most `limit` seconds; its name is unique in the database.

        Raises:
            ServerError: none can be created; the message gives the reason.
        """
        self._health.require_answer()
        end = time.monotonic() + limit
        with self._changed:
            if self._error:
                self._error = ""
                self._changed.notify_all()
            while not self._ready:
                if self._failed():
                    raise ServerError(self._internal_error or self._error or "the server is being closed")
                if time.monotonic() > end:
                    raise ServerError(f"no schema was created within {limit:g} s")
                self._health.wait_on(self._changed, end - time.monotonic())
            name = self._ready.popleft()
            if self._lacks():
                self._changed.notify_all()
            return name

    def lost(self) -> bool:
        """Return whether the server closed our connection: it was restarted, or the database was dropped.

        Sends nothing: a server that closes an idle connection sends a message first.
        """
        with self._changed:
            if self._busy or self._conn is None:
                return False
            if self._conn.closed:
                return True
            poll = select.poll()
            poll.register(self._conn.fileno(), select.POLLIN)
            return bool(poll.poll(0))

    def conninfo_of(self, schema: str) -> str:
        """Return the connection string for sessions of the scenario with this schema."""
        # not by make_conninfo, which takes longer than connecting
        return self._inside.replace(SCHEMA_PLACEHOLDER, schema)

    def give_back(self, schema: str) -> None:
        """Queue a schema to be dropped with its contents."""
        with self._changed:
            self._used.append((time.monotonic(), schema))
            if len(self._used) in (1, _BATCH):
                # the thread waits for the first one, then for _LINGER or a whole batch
                self._changed.notify_all()

    def wait_until_idle(self, limit: float) -> None:
        """Wait at most `limit` seconds until no schema is to be created or dropped now.

        A schema that is in use is dropped later, and is not waited for.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._failed() or not (self._busy or self._due() or self._lacks()), limit)
            self._hurry = False

    def restock(self) -> None:
        """Start to replace all used schemas; the database must not be used before `is_restocked`."""
        with self._changed:
            self._restocking = True
            self._changed.notify_all()

    def is_restocked(self, limit: float) -> bool:
        """Wait at most `limit` seconds for what `restock` started; return whether all schemas are new and empty."""
        with self._changed:
            ended = self._changed.wait_for(
                lambda: self._failed() or not (self._busy or self._used or self._lacks()), limit
            )
            self._restocking = False
            return ended and not self._failed()

    def _failed(self) -> bool:
        return self._closing or bool(self._error or self._internal_error)

    def close(self, wait: Callable[[threading.Thread], object] = lambda thread: thread.join(5.0)) -> None:
        """Create no more schemas, and close all connections; `wait` joins the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.connection_cache.close()
        wait(self._thread)

    def _work(self) -> None:
        try:
            self._run_jobs()
        except Exception as error:  # a bug of pgchaos: reported to waiting threads
            with self._changed:
                self._internal_error = internal_error("in the schema pool", error)
                self._changed.notify_all()
            raise

    def _run_jobs(self) -> None:
        try:
            while (todo := self._wait()) is not None:
                self._do(todo)
        finally:
            if self._conn is not None:
                self._conn.close()

    def _lacks(self) -> bool:
        return len(self._ready) < (_AHEAD if self._restocking else _AHEAD // 2 + 1) and not self._error

    def _wait(self) -> list[str] | None:
        """Wait for work: names of schemas to drop, an empty list to create some, None to end."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            while not self._closing:
                now, due = time.monotonic(), self._due()
                lacks = self._lacks()
                if len(due) > _MOST_USED or (due and not lacks and self._is_due(due, now)):
                    due = due[:_BATCH]
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

    def _is_due(self, due: list[tuple[float, str]], now: float) -> bool:
        return self._hurry or self._restocking or len(due) >= _BATCH or due[0][0] + _LINGER <= now

    def _do(self, schemas: list[str]) -> None:
        try:
            try:
                self._perform(schemas)
            except psycopg.OperationalError:
                if self._conn is not None and not self._conn.closed:
                    raise
                self._perform(schemas)  # retry: the server may have been restarted
        except psycopg.Error as error:
            self._fail(schemas, error)

    def _fail(self, schemas: list[str], error: psycopg.Error) -> None:
        if len(schemas) > 1:
            # one of them may be in use: drop them one by one
            for schema in schemas:
                self._do([schema])
            return
        with self._changed:
            if schemas:
                # it is in use, or the server restarts; at the latest it is dropped with the database
                self._used.append((time.monotonic() + _RETRY_AFTER, schemas[0]))
            else:
                self._error = f"the server cannot create a schema: {str(error).strip()}"
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
        self._execute(_each("CREATE SCHEMA {name}", names))
        with self._changed:
            self._ready += names
            self._changed.notify_all()

    def _drop(self, schemas: list[str]) -> None:
        # one message is one transaction (PostgreSQL docs, "Multiple Statements in a Simple Query")
        self._execute(_each("DROP SCHEMA IF EXISTS {name} CASCADE; SELECT chaos._forget({text})", schemas))

    def _execute(self, query: sql.Composed) -> None:
        connection = self._connection()
        # send the counters of rows at once: a search compares them before and after a run (engine/row_reset.py)
        sends = connection.info.server_version >= SENDS_COUNTERS
        connection.execute(query + sql.SQL("; SELECT pg_catalog.pg_stat_force_next_flush()") if sends else query)

    def _connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn = connect_for_long(self._administrative, "pgchaos schemas")
            self._conn.execute("SET lock_timeout = '200ms'; SET client_min_messages = 'warning'")
        return self._conn


def _each(statement: LiteralString, schemas: list[str]) -> sql.Composed:
    template = sql.SQL(statement)
    return sql.SQL("; ").join(template.format(name=sql.Identifier(one), text=sql.Literal(one)) for one in schemas)
