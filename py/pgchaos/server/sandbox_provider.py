"""Provides sandboxes on a server: new databases, reused databases, and schemas in shared databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import psycopg

from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.conninfo import Connection, make_conninfo
from pgchaos.server.database_pool import DatabasePool
from pgchaos.server.free_slot import connect_with_free_slot
from pgchaos.server.outside_schemas import OutsideState, read_outside_state
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.schema_pool import SCHEMA_PLACEHOLDER, SharedDatabase
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.settings import ServerError

# of a database, beside pgTAP and the toolkit, sorted: databases with the same extensions are interchangeable
Extensions = tuple[str, ...]
# seconds to wait for schemas that are being dropped, before their database is dropped
_DROP_LIMIT = 0.5
_MOST_REUSABLE = 4  # databases that searches left unchanged, which wait for the next search
_MOST_SEARCHES = 20  # that use one database: each leaves dead rows in its catalogs
_RESTOCKED_WITHIN = 0.2  # seconds to wait for its new schemas


@dataclass(frozen=True, slots=True)
class SearchDatabase:
    """A database for the many runs of a search.

    Args:
        schema: provides an empty schema in it for one run.
        changed: lists what has changed outside these schemas since the database was created.
        provable: our role may read everything outside; else nothing is known to be unchanged.
        keep: called if nothing has changed outside these schemas; then another search gets the database.
    """

    schema: Callable[[], AbstractContextManager[Sandbox]]
    changed: Callable[[], list[str]]
    provable: bool
    keep: Callable[[], None]


class SandboxProvider:
    """Provides sandboxes; every method raises ServerError if it cannot. Thread-safe."""

    def __init__(self, server: ServerInfo, pool: DatabasePool, close_unused: Callable[[], None]) -> None:
        self._server = server
        self._pool = pool
        self._close_unused = close_unused
        self._lock = threading.RLock()  # closing unused connections, to make room, takes it again
        self._shared: dict[Extensions, SharedDatabase] = {}
        self._users: dict[SharedDatabase, int] = {}
        self._outside: dict[Extensions, OutsideState] = {}
        self._reading = threading.Lock()
        # with an extension that writes to its own tables or sequences: such databases are not shared
        self._not_shared: set[Extensions] = set()
        self._caches: dict[str, ConnectionCache] = {}
        self._closed = False
        # databases that searches left unchanged, the latest last
        self._reusable: list[tuple[Extensions, SharedDatabase]] = []

    @contextmanager
    def database(self, extensions: Extensions) -> Iterator[Sandbox]:
        """Provide a new database, which is dropped afterwards."""
        name = self._pool.take(extensions)
        try:
            yield Sandbox(
                name,
                self._server.conninfo(name),
                ours=self._server.ours,
                close_unused=self._close_unused,
                report_silent_backend=self._server.health.report_silent_backend,
                server_control=self._server.private,
            )
        finally:
            self._pool.give_back(name)

    @contextmanager
    def reusable_database(self, extensions: Extensions) -> Iterator[Sandbox]:
        """Provide a database that another scenario may have left unchanged, with its open connections."""
        name = self._pool.take_reusable(extensions)
        connection_cache = self._caches.get(name)
        if connection_cache is None:
            conninfo = make_conninfo(self._server.conninfo(name), application_name="check")
            connection_cache = self._caches[name] = ConnectionCache(conninfo)
        unchanged: list[bool] = []
        try:
            yield Sandbox(
                name,
                connection_cache.conninfo,
                ours=self._server.ours,
                connection_cache=connection_cache,
                close_unused=self._close_unused,
                report_silent_backend=self._server.health.report_silent_backend,
                keep=lambda: unchanged.append(True),
                explains=self._pool.explains,
            )
        finally:
            if unchanged:
                self._pool.give_back_unchanged(extensions, name)
            else:
                self._caches.pop(name).close()
                self._pool.give_back_changed(extensions, name)

    @contextmanager
    def schema(self, extensions: Extensions) -> Iterator[Sandbox]:
        """Provide an empty schema in a database that scenarios share; it is dropped afterwards."""
        with self._lock:
            self._drop_lost(extensions)
            shared = None if extensions in self._not_shared else self._shared.get(extensions)
            if shared is None and extensions not in self._not_shared:
                # dropped when something in it was changed, else at the end of the run
                shared = self._shared[extensions] = self._new_shared(extensions)
            if shared is not None:
                self._users[shared] = self._users.get(shared, 0) + 1
        if shared is None:
            with self.search_schema(extensions) as sandbox:
                yield sandbox
            return
        try:
            with self._schema_in(shared) as sandbox:
                yield replace(
                    sandbox,
                    outside=self._outside[extensions],
                    retire=lambda what: self._retire(extensions, shared, what),
                    outside_changes=lambda: shared.outside_changes,
                )
        finally:
            self._release(extensions, shared)

    def _drop_lost(self, extensions: Extensions) -> None:
        """Stop using a shared database that another session dropped."""
        shared = self._shared.get(extensions)
        if shared is not None and shared.lost():
            del self._shared[extensions]
            if not self._users.get(shared):
                self._users.pop(shared, None)
                shared.close()
                self._pool.give_back(shared.name)

    def _new_shared(self, extensions: Extensions) -> SharedDatabase:
        name = self._pool.take(extensions)
        # before schemas are created in it
        if self._outside_of(extensions, name).unreadable:
            self._not_shared.add(extensions)
        return self._shared_database(name)

    def _retire(self, extensions: Extensions, shared: SharedDatabase, what: Collection[str]) -> None:
        """Stop using a shared database: something outside its schemas was changed."""
        extension_relations = self._outside[extensions].extension_relations
        shared.outside_changes = tuple(what)
        with self._lock:
            if self._shared.get(extensions) is shared:
                del self._shared[extensions]
            if extension_relations.intersection(what):
                self._not_shared.add(extensions)

    def _release(self, extensions: Extensions, shared: SharedDatabase) -> None:
        with self._lock:
            self._users[shared] -= 1
            done = not self._users[shared] and self._shared.get(extensions) is not shared
            if done:
                del self._users[shared]
        if done:
            shared.close()
            self._pool.give_back(shared.name)

    def _outside_of(self, extensions: Extensions, name: str) -> OutsideState:
        """Return the state of a new database; all databases with the same extensions have the same."""
        with self._reading:
            if extensions not in self._outside:
                try:
                    with self._connected(name) as conn:
                        self._outside[extensions] = read_outside_state(conn)
                except psycopg.Error as error:
                    raise ServerError(f"cannot read database {name}: {str(error).strip()}") from error
            return self._outside[extensions]

    @contextmanager
    def _connected(self, name: str) -> Iterator[Connection]:
        conn = connect_with_free_slot(lambda: self._server.connect(name), self._close_unused)
        with conn, self._server.health.shutdown_if_silent(conn):
            yield conn

    @contextmanager
    def search_database(self, extensions: Extensions, *, reuse: bool) -> Iterator[SearchDatabase]:
        """Provide a database for the many runs of a search: with `reuse`, perhaps one that a search left unchanged."""
        shared = (self._take_reusable(extensions) if reuse else None) or self._database_of_schemas(extensions)
        outside = self._outside[extensions]
        kept: list[bool] = []
        unchanged = False
        try:
            yield SearchDatabase(
                lambda: self._schema_for_search(shared, outside),
                lambda: self._catalog_changes(outside, shared),
                not outside.unreadable and extensions not in self._not_shared,
                lambda: kept.append(True),
            )
            unchanged = reuse and bool(kept)
        finally:
            if not (unchanged and self._keep_for_reuse(extensions, shared)):
                self._drop_search_database(shared)

    @contextmanager
    def search_schema(self, extensions: Extensions) -> Iterator[Sandbox]:
        """Provide a schema in a new database to one run, which may change all of it; it is dropped afterwards."""
        shared = self._database_of_schemas(extensions)
        try:
            with self._schema_in(shared) as sandbox:
                yield sandbox
        finally:
            self._drop_search_database(shared)

    def _database_of_schemas(self, extensions: Extensions) -> SharedDatabase:
        name = self._pool.take(extensions)
        try:
            # before schemas are created in it
            self._outside_of(extensions, name)
            return self._shared_database(name)
        except BaseException:  # Ctrl-C too
            self._pool.give_back(name)
            raise

    def _take_reusable(self, extensions: Extensions) -> SharedDatabase | None:
        """Take a database that a search left unchanged; drop those that cannot be used any more."""
        self._server.health.require_answer()
        while shared := self._pop_reusable(extensions):
            usable = False
            try:
                usable = shared.is_restocked(_RESTOCKED_WITHIN) and not shared.lost()
            finally:
                if not usable:
                    self._drop_search_database(shared)
            if usable:
                return shared
        return None

    def _pop_reusable(self, extensions: Extensions | None = None) -> SharedDatabase | None:
        """Take the latest database with these extensions, or with any, if there is one."""
        with self._lock:
            found = [one for one in self._reusable if extensions in (None, one[0])]
            if not found:
                return None
            self._reusable.remove(found[-1])
            return found[-1][1]

    def _keep_for_reuse(self, extensions: Extensions, shared: SharedDatabase) -> bool:
        """Keep a database for another search, if there is room."""
        with self._lock:
            shared.searches += 1
            if self._closed or len(self._reusable) >= _MOST_REUSABLE or shared.searches >= _MOST_SEARCHES:
                return False
            shared.restock()
            self._reusable.append((extensions, shared))
            return True

    def _drop_search_database(self, shared: SharedDatabase) -> None:
        # a short wait: all schemas are dropped with the database
        shared.close(lambda thread: thread.join(_DROP_LIMIT))
        self._pool.give_back(shared.name)

    @contextmanager
    def _schema_for_search(self, shared: SharedDatabase, outside: OutsideState) -> Iterator[Sandbox]:
        with self._schema_in(shared) as sandbox:
            yield replace(sandbox, outside=outside, in_search=True)

    def _catalog_changes(self, outside: OutsideState, shared: SharedDatabase) -> list[str]:
        try:
            with self._connected(shared.name) as conn:
                rows = conn.execute(outside.catalogs.query.encode()).fetchall()
        except psycopg.Error as error:
            raise ServerError(f"cannot read database {shared.name}: {str(error).strip()}") from error
        return outside.catalogs.changed(rows)

    def clear(self) -> None:
        """Close the unused connections, and drop the databases that wait for another search."""
        while unused := self._pop_reusable():
            self._drop_search_database(unused)
        shared = (shared.connection_cache for shared in list(self._shared.values()))
        for connection_cache in (*shared, *list(self._caches.values())):
            connection_cache.clear()

    def wait_until_idle(self, limit: float) -> None:
        """Wait at most `limit` seconds for each shared database until no schema is created or dropped in it."""
        for shared in list(self._shared.values()):
            shared.wait_until_idle(limit)

    def close(self, limit: float) -> None:
        """Close all connections, after at most `limit` seconds for work in each shared database.

        The pool drops the databases.
        """
        with self._lock:
            self._closed = True
        while unused := self._pop_reusable():
            unused.close(lambda thread: self._server.health.join(thread, limit))
        # retired ones may still be in use
        for shared in {*self._users, *self._shared.values()}:
            shared.close(lambda thread: self._server.health.join(thread, limit))
        for connection_cache in list(self._caches.values()):
            connection_cache.close()

    def _shared_database(self, name: str) -> SharedDatabase:
        parameters = {"search_path": f"{SCHEMA_PLACEHOLDER}, public", "chaos.run": SCHEMA_PLACEHOLDER}
        server = self._server
        inside = server.conninfo_with(parameters, name)
        return SharedDatabase(name, server.conninfo(name), server.administrative(name), inside, server.health)

    @contextmanager
    def _schema_in(self, shared: SharedDatabase) -> Iterator[Sandbox]:
        schema = shared.take()
        try:
            yield Sandbox(
                shared.name,
                shared.conninfo_of(schema),
                schema=schema,
                connection_cache=shared.connection_cache,
                close_unused=self._close_unused,
                report_silent_backend=self._server.health.report_silent_backend,
            )
        finally:
            shared.give_back(schema)
