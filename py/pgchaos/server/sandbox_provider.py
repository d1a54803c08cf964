"""What scenarios are lent on a server: databases of their own, schemas in shared ones, and databases that go round."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import psycopg

from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.conninfo import Connection, make_conninfo
from pgchaos.server.database_pool import DatabasePool
from pgchaos.server.outside_schemas import Outside, look_outside
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.schema_pool import SCHEMA_PLACEHOLDER, SharedDatabase
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.settings import ServerError
from pgchaos.server.spec_databases import Lent, SpecDatabases

Extensions = tuple[str, ...]
"""That a database has beside pgTAP and the toolkit, sorted: those of the same may serve one another's scenarios."""
_SEARCHED_ENDS_WITHIN = 0.5
"""Seconds to wait for schemas that are just being dropped, where their database is dropped too."""


@dataclass(frozen=True, slots=True)
class SearchDatabase:
    """A database for the many runs of one scenario.

    Args:
        lend: lends each run an empty schema in it.
        changed: names what has changed outside these schemas since the database was made.
        provable: false where our role may not read all that lies outside: then nothing is known to be unchanged.
    """

    lend: Callable[[], AbstractContextManager[Sandbox]]
    changed: Callable[[], list[str]]
    provable: bool


class SandboxProvider:
    """Lends them, and takes them back. Safe to use from several threads.

    Whatever it lends, it raises ServerError where there is none to be had.

    Args:
        server: where they are.
        pool: makes and drops the databases.
        spare: closes the connections that are kept on the server, here and elsewhere; given to who borrows.
    """

    def __init__(self, server: ServerInfo, pool: DatabasePool, spare: Callable[[], None]) -> None:
        self._server = server
        self._pool = pool
        self._spare = spare
        self._sharing = threading.Lock()
        self._shared: dict[Extensions, SharedDatabase] = {}
        self._users: dict[SharedDatabase, int] = {}
        self._outside: dict[Extensions, Outside] = {}
        self._looking = threading.Lock()
        self._keeps_data: set[Extensions] = set()
        """Those of which an extension has written to tables or sequences of its own."""
        self._shelves: dict[str, ConnectionCache] = {}
        self._plain = SpecDatabases(server, pool, spare)

    @contextmanager
    def database(self, extensions: Extensions) -> Iterator[Sandbox]:
        """Lend a database of its own to one scenario.

        Args:
            extensions: that it has.

        Yields:
            The database; it is dropped afterwards.
        """
        name = self._pool.take(extensions)
        try:
            yield Sandbox(
                name,
                self._server.conninfo(name),
                ours=self._server.ours,
                spare=self._spare,
                doubt=self._server.answering.doubt,
                power=self._server.private,
            )
        finally:
            self._pool.give_back(name)

    @contextmanager
    def database_again(self, extensions: Extensions) -> Iterator[Sandbox]:
        """Lend a database that may have been lent before, with the connections that were kept to it."""
        name = self._pool.take_again(extensions)
        shelf = self._shelves.get(name)
        if shelf is None:
            conninfo = make_conninfo(self._server.conninfo(name), application_name="check")
            shelf = self._shelves[name] = ConnectionCache(conninfo)
        kept: list[bool] = []
        try:
            yield Sandbox(
                name,
                shelf.conninfo,
                ours=self._server.ours,
                shelf=shelf,
                spare=self._spare,
                doubt=self._server.answering.doubt,
                keep=lambda: kept.append(True),
                explains=self._pool.explains,
            )
        finally:
            if kept:
                self._pool.keep(extensions, name)
            else:
                self._shelves.pop(name).close()
                self._pool.spoil(extensions, name)

    @contextmanager
    def schema(self, extensions: Extensions) -> Iterator[Sandbox]:
        """Lend a schema to one scenario, in the database that all such scenarios share.

        Args:
            extensions: that the database has.

        Yields:
            The schema, empty; it is dropped afterwards.
        """
        with self._sharing:
            self._forget_lost(extensions)
            shared = None if extensions in self._keeps_data else self._shared.get(extensions)
            if shared is None and extensions not in self._keeps_data:
                # given back when it is spoiled; else it goes with all that the run made
                shared = self._shared[extensions] = self._new_shared(extensions)
            if shared is not None:
                self._users[shared] = self._users.get(shared, 0) + 1
        if shared is None:
            with self.rehearsal(extensions) as sandbox:
                yield sandbox
            return
        try:
            with self._schema_in(shared) as sandbox:
                yield replace(
                    sandbox,
                    outside=self._outside[extensions],
                    spoil=lambda what: self._spoil(extensions, shared, what),
                    spoiled=lambda: shared.spoiled,
                )
        finally:
            self._leave(extensions, shared)

    def _forget_lost(self, extensions: Extensions) -> None:
        """Lend no more schemas in a database that somebody dropped."""
        shared = self._shared.get(extensions)
        if shared is not None and shared.lost():
            del self._shared[extensions]
            if not self._users.get(shared):
                self._users.pop(shared, None)
                shared.close()
                self._pool.give_back(shared.name)

    def _new_shared(self, extensions: Extensions) -> SharedDatabase:
        name = self._pool.take(extensions)
        # before schemas are made in it
        if self._outside_of(extensions, name).unreadable:
            self._keeps_data.add(extensions)
        return self._shared_database(name)

    def _spoil(self, extensions: Extensions, shared: SharedDatabase, what: Collection[str]) -> None:
        """Lend no more schemas in a shared database."""
        members = self._outside[extensions].members
        shared.spoiled = tuple(what)
        with self._sharing:
            if self._shared.get(extensions) is shared:
                del self._shared[extensions]
            if members.intersection(what):
                self._keeps_data.add(extensions)

    def _leave(self, extensions: Extensions, shared: SharedDatabase) -> None:
        with self._sharing:
            self._users[shared] -= 1
            done = not self._users[shared] and self._shared.get(extensions) is not shared
            if done:
                del self._users[shared]
        if done:
            shared.close()
            self._pool.give_back(shared.name)

    def _outside_of(self, extensions: Extensions, name: str) -> Outside:
        """See how things are in a new database; the first of its kind tells of all."""
        with self._looking:
            if extensions not in self._outside:
                try:
                    with self._connected(name) as conn:
                        self._outside[extensions] = look_outside(conn)
                except psycopg.Error as error:
                    raise ServerError(f"cannot look at database {name}: {str(error).strip()}") from error
            return self._outside[extensions]

    @contextmanager
    def _connected(self, name: str) -> Iterator[Connection]:
        conninfo = self._server.conninfo(name)
        with psycopg.connect(conninfo, autocommit=True) as conn, self._server.answering.attending(conn):
            yield conn

    @contextmanager
    def rehearsals(self, extensions: Extensions) -> Iterator[SearchDatabase]:
        """Lend a database of its own to the many runs of one scenario.

        Args:
            extensions: that it has.

        Yields:
            What lends each run an empty schema in it.
        """
        with self._one_database(extensions) as own:
            outside = self._outside[extensions]
            yield SearchDatabase(
                lambda: self._searched(own, outside),
                lambda: self._changed(outside, own),
                not outside.unreadable and extensions not in self._keeps_data,
            )

    @contextmanager
    def rehearsal(self, extensions: Extensions) -> Iterator[Sandbox]:
        """Lend a schema in a new database to one run, which may change all of it.

        Args:
            extensions: that it has.

        Yields:
            The schema, first on the search_path; the database is dropped afterwards.
        """
        with self._one_database(extensions) as own, self._schema_in(own) as sandbox:
            yield sandbox

    @contextmanager
    def _one_database(self, extensions: Extensions) -> Iterator[SharedDatabase]:
        name = self._pool.take(extensions)
        try:
            # before schemas are made in it
            self._outside_of(extensions, name)
            own = self._shared_database(name)
            try:
                yield own
            finally:
                # no longer than that: the database goes with all that is in it
                own.close(lambda thread: thread.join(_SEARCHED_ENDS_WITHIN))
        finally:
            self._pool.give_back(name)

    @contextmanager
    def _searched(self, own: SharedDatabase, outside: Outside) -> Iterator[Sandbox]:
        with self._schema_in(own) as sandbox:
            yield replace(sandbox, outside=outside, searched=True)

    def _changed(self, outside: Outside, own: SharedDatabase) -> list[str]:
        try:
            with self._connected(own.name) as conn:
                rows = conn.execute(outside.catalogs.query.encode()).fetchall()
        except psycopg.Error as error:
            raise ServerError(f"cannot look at database {own.name}: {str(error).strip()}") from error
        return outside.catalogs.changed((str(name), str(state)) for name, state in rows)

    def plain(self, extensions: Sequence[str] = (), *, named: bool = False) -> AbstractContextManager[Lent]:
        """Lend a database without pgTAP and toolkit to one spec; see `PlainDatabases.lend`."""
        return self._plain.lend(extensions, named=named)

    def clear(self) -> None:
        """Close the connections that are kept from one scenario to the next."""
        shared = (shared.shelf for shared in list(self._shared.values()))
        for shelf in (*shared, *list(self._shelves.values()), *self._plain.shelves()):
            shelf.clear()

    def rest(self, limit: float) -> None:
        """Wait until no schema is made or dropped, in databases that scenarios share.

        Args:
            limit: seconds to wait for each.
        """
        for shared in list(self._shared.values()):
            shared.rest(limit)

    def close(self, limit: float) -> None:
        """Lend no more, and close all connections; the databases go by the pool.

        Args:
            limit: seconds to wait for what is being done in a shared database.
        """
        # those in use that are spoiled, too
        for shared in {*self._users, *self._shared.values()}:
            shared.close(lambda thread: self._server.answering.join(thread, limit))
        for shelf in (*list(self._shelves.values()), *self._plain.shelves()):
            shelf.close()

    def _shared_database(self, name: str) -> SharedDatabase:
        parameters = {"search_path": f"{SCHEMA_PLACEHOLDER}, public", "chaos.run": SCHEMA_PLACEHOLDER}
        server = self._server
        return SharedDatabase(name, server.conninfo(name), server.conninfo_with(parameters, name), server.answering)

    @contextmanager
    def _schema_in(self, shared: SharedDatabase) -> Iterator[Sandbox]:
        schema = shared.take()
        try:
            yield Sandbox(
                shared.name,
                shared.conninfo_of(schema),
                schema=schema,
                shelf=shared.shelf,
                spare=self._spare,
                doubt=self._server.answering.doubt,
            )
        finally:
            shared.give_back(schema)
