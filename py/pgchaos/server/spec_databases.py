"""Databases without pgTAP and toolkit for isolation specs; the next spec reuses a clean one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.database_factory import EMPTY, with_extensions
from pgchaos.server.database_pool import DatabasePool
from pgchaos.server.databases import drop_database
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.settings import ServerError

REGRESSION = "isolation_regression"  # the database of pg_isolation_regress

# Whether a database holds nothing that a spec created. Every object depends on something, except for the kinds that the
# query lists. 16384 is the first OID that is not the system's (FirstNormalObjectId in transam.h).
CLEAN = """
    SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE objid >= 16384)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_data_wrapper)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_language WHERE oid >= 16384)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE database = current_database())
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE database = current_database())
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_catalog.pg_backend_pid()
                          AND application_name !~ '^(isolation/|pgchaos )')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s
                        WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database
                                              WHERE datname = current_database()))
       AND (SELECT datacl IS NULL FROM pg_catalog.pg_database WHERE datname = current_database())
"""


@dataclass(slots=True)
class SpecDatabase:
    """A database that a spec uses."""

    sandbox: Sandbox
    # connections for the next spec; None if no other spec uses the database
    connection_cache: ConnectionCache | None = None
    clean: bool = False  # set by the spec's run if the database was clean at the end


class SpecDatabases:
    """Provides databases for specs. Thread-safe."""

    def __init__(self, server: ServerInfo, pool: DatabasePool, close_unused: Callable[[], None]) -> None:
        self._server, self._pool, self._close_unused = server, pool, close_unused
        self._lock = threading.Lock()
        self._clean: list[SpecDatabase] = []
        self._regression = threading.Lock()  # held while a spec uses the database named REGRESSION

    @contextmanager
    def database(self, extensions: Sequence[str] = (), *, regression_name: bool = False) -> Iterator[SpecDatabase]:
        """Provide a database for one spec. The next spec reuses it if it is clean.

        Args:
            extensions: to create in it, in this order; then it is not reused.
            regression_name: name it as pg_isolation_regress does, on a private server; other specs wait for the name,
                and the database is not reused.
        """
        if regression_name and self._server.ours:
            with self._regression, self._single_use(extensions) as name, self._renamed(name):
                yield self._offer(REGRESSION, cached=False)
            return
        if extensions:
            with self._single_use(extensions) as name:
                yield self._offer(name, cached=False)
            return
        with self._lock:
            database = self._clean.pop() if self._clean else None
        if database is None:
            # one ready database is enough: most are clean after use
            database = self._offer(self._pool.take(EMPTY, keep_ready=1), cached=True)
        database.clean = False
        try:
            yield database
        finally:
            if database.clean:
                with self._lock:
                    self._clean.append(database)
            else:
                assert database.connection_cache is not None, "created with it"
                database.connection_cache.close()
                self._pool.give_back(database.sandbox.database)

    def _offer(self, name: str, *, cached: bool) -> SpecDatabase:
        conninfo = self._server.conninfo(name)
        sandbox = Sandbox(
            name,
            conninfo,
            ours=self._server.ours,
            close_unused=self._close_unused,
            report_silent_backend=self._server.health.report_silent_backend,
        )
        return SpecDatabase(sandbox, ConnectionCache(conninfo) if cached else None)

    @contextmanager
    def _single_use(self, extensions: Sequence[str]) -> Iterator[str]:
        name = self._pool.take(with_extensions(extensions), keep_ready=1)
        try:
            yield name
        finally:
            self._pool.give_back(name)

    @contextmanager
    def _renamed(self, name: str) -> Iterator[None]:
        """Rename a database to REGRESSION, and drop it under that name."""
        try:
            with self._server.connect() as conn:
                # a spec may have created one
                drop_database(conn, self._server.conninfo(), REGRESSION)
                conn.execute(
                    sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(REGRESSION))
                )
        except psycopg.Error as error:
            raise ServerError(f"no database can be renamed to {REGRESSION}: {str(error).strip()}") from error
        try:
            yield
        finally:
            # the next spec that needs the name tries again, and reports the error
            with suppress(psycopg.Error), self._server.connect() as conn:
                drop_database(conn, self._server.conninfo(), REGRESSION)

    def clear(self) -> None:
        """Close the connections to unused databases."""
        for cache in self._caches():
            cache.clear()

    def close(self) -> None:
        """Close the connections to unused databases, and cache no more."""
        for cache in self._caches():
            cache.close()

    def _caches(self) -> list[ConnectionCache]:
        with self._lock:
            return [database.connection_cache for database in self._clean if database.connection_cache is not None]
