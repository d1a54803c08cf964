"""Lends databases without pgTAP and toolkit to isolation specs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.database_pool import Pool
from pgchaos.server.databases import drop_database
from pgchaos.server.plain_database import BARE, REGRESSION, Lent, with_loaded
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.settings import ServerError


class PlainDatabases:
    """Lends them, and takes them back. Safe to use from several threads.

    Args:
        server: where they are.
        pool: makes and drops them.
        spare: closes the connections that are kept on the server; given to who borrows.
    """

    def __init__(self, server: ServerInfo, pool: Pool, spare: Callable[[], None]) -> None:
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
            lent = self._lent(self._pool.take(BARE, ahead=1), kept=True)
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
        name = self._pool.take(with_loaded(extensions), ahead=1)
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
