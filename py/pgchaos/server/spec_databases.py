"""Databases without pgTAP and toolkit for isolation specs; one that a spec leaves clean serves the next."""

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

REGRESSION = "isolation_regression"
"""The database of pg_isolation_regress."""

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
"""Is there nothing in a database that a spec has made? Whatever is made in one depends on something, 16384 being the
first OID that is not the system's (FirstNormalObjectId in transam.h), but for what is listed."""


@dataclass(slots=True)
class Lent:
    """A database lent to a spec.

    Args:
        sandbox: which.
        shelf: where sessions of it wait for the next spec; None where it serves no other.
        clean: set by who found nothing in it at the end.
    """

    sandbox: Sandbox
    shelf: ConnectionCache | None = None
    clean: bool = False


class SpecDatabases:
    """Lends them, and takes them back. Safe to use from several threads.

    Args:
        server: where they are.
        pool: makes and drops them.
        spare: closes the connections that are kept on the server; given to who borrows.
    """

    def __init__(self, server: ServerInfo, pool: DatabasePool, spare: Callable[[], None]) -> None:
        self._server, self._pool, self._spare = server, pool, spare
        self._lock = threading.Lock()
        self._clean: list[Lent] = []
        self._naming = threading.Lock()
        """Held by who has the database that is called as that of pg_isolation_regress."""

    @contextmanager
    def lend(self, extensions: Sequence[str] = (), *, named: bool = False) -> Iterator[Lent]:
        """Lend a database without pgTAP and toolkit to one spec.

        Args:
            extensions: to create in it, in this order; then it serves no other spec.
            named: call it as pg_isolation_regress does, on a server of ours; others who want that wait. Then it serves
                no other spec either.

        Yields:
            The database, which serves another spec afterwards if it is found clean.
        """
        if named and self._server.ours:
            with self._naming, self._own_plain(extensions) as name, self._renamed(name):
                yield self._lent(REGRESSION, kept=False)
            return
        if extensions:
            with self._own_plain(extensions) as name:
                yield self._lent(name, kept=False)
            return
        with self._lock:
            lent = self._clean.pop() if self._clean else None
        if lent is None:
            # most come back clean
            lent = self._lent(self._pool.take(EMPTY, ahead=1), kept=True)
        lent.clean = False
        try:
            yield lent
        finally:
            if lent.clean:
                with self._lock:
                    self._clean.append(lent)
            else:
                assert lent.shelf is not None, "made with it"
                lent.shelf.close()
                self._pool.give_back(lent.sandbox.database)

    def _lent(self, name: str, *, kept: bool) -> Lent:
        conninfo = self._server.conninfo(name)
        sandbox = Sandbox(name, conninfo, ours=self._server.ours, spare=self._spare, doubt=self._server.answering.doubt)
        return Lent(sandbox, ConnectionCache(conninfo) if kept else None)

    @contextmanager
    def _own_plain(self, extensions: Sequence[str]) -> Iterator[str]:
        name = self._pool.take(with_extensions(extensions), ahead=1)
        try:
            yield name
        finally:
            self._pool.give_back(name)

    @contextmanager
    def _renamed(self, name: str) -> Iterator[None]:
        """Call a database as pg_isolation_regress does; it is dropped under that name, and not called back."""
        try:
            with self._server.connect() as conn:
                # a spec may have made one
                drop_database(conn, self._server.conninfo(), REGRESSION)
                conn.execute(
                    sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(REGRESSION))
                )
        except psycopg.Error as error:
            raise ServerError(f"no database can be called {REGRESSION}: {str(error).strip()}") from error
        try:
            yield
        finally:
            # who wants the name next tries again, and says what is wrong
            with suppress(psycopg.Error), self._server.connect() as conn:
                drop_database(conn, self._server.conninfo(), REGRESSION)

    def shelves(self) -> list[ConnectionCache]:
        """List where connections wait to databases that are lent to nobody."""
        with self._lock:
            return [lent.shelf for lent in self._clean if lent.shelf is not None]
