"""The server of a run, which provides sandboxes for scenarios."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

import psycopg

from pgchaos.language.header_model import Requirement
from pgchaos.language.plain_files import Contents
from pgchaos.safe_output import one_line
from pgchaos.server import in_place, pgtap
from pgchaos.server.cluster import ClusterFactory
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.conninfo import ServerChoice, choose_server
from pgchaos.server.database_factory import EMPTY, WITH_PGTAP, CreatedDatabases, DatabaseFactory
from pgchaos.server.database_pool import DatabasePool
from pgchaos.server.database_queue import Expected
from pgchaos.server.databases import describe_remaining, drop_statements, remove_dead_runs
from pgchaos.server.external_cleanup import ExternalCleanup, Lease
from pgchaos.server.prepared import DATABASE, PreparedData
from pgchaos.server.private import PrivateServer
from pgchaos.server.requirements import Requirements
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.sandbox_provider import SandboxProvider, SearchDatabase
from pgchaos.server.server_folder import remove_dead_servers
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.server_inspection import NO_DATABASE
from pgchaos.server.settings import ServerError, ServerSettings, nothing
from pgchaos.server.spec_databases import SpecDatabase, SpecDatabases
from pgchaos.server.user_database import UserDatabase

_CONTENTS = {Contents.NOTHING: EMPTY, Contents.PGTAP: WITH_PGTAP}
_IDLE_LIMIT = 10.0


def open_server(
    settings: ServerSettings,
    environ: Mapping[str, str] = os.environ,
    meanwhile: Callable[[], None] = nothing,
    expected: Expected | None = None,
) -> Server:
    """Open the server for a run, after removing what dead runs left.

    It is the one of `settings.dsn`, else a private one from `settings.pg_bindir` or PG_BINDIR, else the one that
    libpq's environment names, else a private one from the embedded programs.

    Args:
        settings: the user's options.
        environ: used for the choice; libpq itself reads the process's environment.
        meanwhile: called while a private server starts.
        expected: what a private server begins to create at once; None if unknown.

    Returns:
        The server, a context manager.

    Raises:
        ServerError: there is none, or it cannot be used; the message says what to do.
    """
    choice = choose_server(settings, environ)
    remove_dead_servers()
    if choice.conninfo is not None:
        return Server(settings, choice, None)
    if settings.in_place:
        raise ServerError(NO_DATABASE)
    prepared = PreparedData(choice.bindir, settings.pgtap)
    private = prepared.start(meanwhile=meanwhile)
    try:
        return Server(settings, choice, private, prepared, expected)
    except BaseException:  # Ctrl-C too: no server remains
        private.close()
        raise


class Server(ServerInfo):
    """A server and its sandboxes. Thread-safe.

    Attributes:
        notes: what the user should know about the server, a line each.
        spec_monitors: connections that observe the sessions of specs, open from one spec to the next.

    Raises:
        ServerError: it cannot be used.
    """

    def __init__(
        self,
        settings: ServerSettings,
        choice: ServerChoice,
        private: PrivateServer | None,
        prepared: PreparedData | None = None,
        expected: Expected | None = None,
    ) -> None:
        super().__init__(settings, choice, private)
        pgtap.check_available(self.administrative(), settings.pgtap)
        if private is not None and prepared is not None:
            prepared.use_programs_of(private)
        self._clusters = ClusterFactory(settings.pg_bindir or choice.cluster_bindir, settings.pgtap, prepared)
        self._requirements = Requirements(self)
        self._cleanup = ExternalCleanup(self.administrative(), self.run)
        self._user_database = UserDatabase(self)
        factory = DatabaseFactory(self.administrative(), self.run, self.ours, settings.pgtap, CreatedDatabases())
        if private is not None and private.prepared:
            factory.prepared = DATABASE
        self._lease = Lease(factory.copy())
        self._pool = DatabasePool(factory, settings.clones, self.health, self.ensure_cleanup)
        self._sandboxes = SandboxProvider(self, self._pool, self.close_unused)
        self._spec_databases = SpecDatabases(self, self._pool, self.close_unused)
        self._in_use = 0
        self.notes: list[str] = [prepared.note] if prepared is not None and prepared.note else []
        self.spec_monitors = ConnectionCache(self.administrative())
        if self.ours:
            self.prepare(expected or Expected(Contents.TOOLKIT))
        else:
            self._remove_dead_runs()

    def prepare(self, expected: Expected) -> None:
        """Start to create databases before a scenario needs one."""
        if not self.in_place:
            self._pool.expect(_CONTENTS.get(expected.contents, ()), expected.databases)

    def expect_own_servers(self, servers: int) -> None:
        """Start to create the data directories of `servers` servers for single scenarios, one after the other."""
        self._clusters.expect(servers)

    def cancel_starts(self) -> None:
        """Start no more servers for single scenarios; see `ClusterFactory.cancel_starts`."""
        self._clusters.cancel_starts()

    def missing(self, requirement: Requirement) -> str:
        """Explain why a requirement of a scenario is not met and how to meet it; '' if it is met.

        Raises:
            ServerError: the server does not answer.
        """
        return self._requirements.missing(requirement)

    def missing_on_own_server(self, requirement: Requirement) -> str:
        """Explain why a server for a single scenario does not meet a requirement; see `missing`."""
        # these servers run the programs of the run's private server
        return self.missing(requirement) if self.ours else self._clusters.missing(requirement)

    def sandbox(
        self,
        extensions: tuple[str, ...] = (),
        *,
        schema: bool = False,
        reuse: bool = False,
        contents: Contents = Contents.TOOLKIT,
    ) -> AbstractContextManager[Sandbox]:
        """Provide a database for one scenario, with pgTAP, the toolkit and extensions.

        Args:
            extensions: to create beside pgTAP and the toolkit.
            schema: a schema in a shared database suffices.
            reuse: a database that another scenario left unchanged, and marked with `keep`, suffices.
            contents: fewer contents; then there are no extensions either.

        Returns:
            A context with a new database, or with `in_place` the named one; with `schema` an empty schema, first on the
            search_path, in a database that such scenarios with these extensions share, or in the named one.

        Raises:
            ServerError: it cannot be provided.
        """
        self.ensure_cleanup()
        key = _CONTENTS.get(contents, tuple(sorted(set(extensions))))
        if self.in_place:
            return self._user_database.sandbox(extensions, contents, reuse=reuse)
        if schema:
            return self._sandboxes.schema(key)
        return self._sandboxes.reusable_database(key) if reuse else self._sandboxes.database(key)

    def search_database(self, extensions: tuple[str, ...], *, reuse: bool) -> AbstractContextManager[SearchDatabase]:
        """Provide a database for the many runs of a search.

        Args:
            extensions: to create beside pgTAP and the toolkit.
            reuse: a database that another search left unchanged, and marked with `keep`, suffices.

        Returns:
            A context with the database, which provides an empty schema for each run, first on the search_path.

        Raises:
            ServerError: it cannot be provided.
        """
        self.ensure_cleanup()
        return self._sandboxes.search_database(tuple(sorted(set(extensions))), reuse=reuse)

    def search_schema(self, extensions: tuple[str, ...] = ()) -> AbstractContextManager[Sandbox]:
        """Provide an empty schema in a new database to one run of a search, which may change all of the database.

        Args:
            extensions: to create beside pgTAP and the toolkit.

        Returns:
            A context with the schema, first on the search_path; the database is dropped afterwards.

        Raises:
            ServerError: it cannot be provided.
        """
        self.ensure_cleanup()
        return self._sandboxes.search_schema(tuple(sorted(set(extensions))))

    def track_contents(self) -> tuple[Callable[[], list[str]], tuple[str, ...]]:
        """Read the named database before the runs of a search; see `UserDatabase.track_contents`."""
        return self._user_database.track_contents()

    def own_server_sandbox(
        self, extensions: tuple[str, ...], settings: Mapping[str, str], disks: Mapping[str, int]
    ) -> AbstractContextManager[Sandbox]:
        """Provide a private server for one scenario.

        Args:
            extensions: to create in its database, beside pgTAP and the toolkit.
            settings: its parameters.
            disks: folders of the server that get a small file system each, with its size in bytes.

        Returns:
            A context with a database of it.

        Raises:
            ServerError: it does not start, or an extension cannot be created.
        """
        return self._clusters.sandbox(extensions, settings, disks)

    @contextmanager
    def spec_database(self, extensions: Sequence[str] = (), *, regression_name: bool = False) -> Iterator[SpecDatabase]:
        """Provide a database without pgTAP and toolkit for one spec.

        Args:
            extensions: to create in it, in this order.
            regression_name: name it isolation_regression, on a private server.

        Yields:
            A database, which the next spec uses too if it is clean; with `in_place` a schema in the named one.

        Raises:
            ServerError: it cannot be provided.
        """
        self.ensure_cleanup()
        if self.in_place:
            with self._user_database.sandbox(tuple(extensions)) as sandbox:
                yield SpecDatabase(sandbox)
        else:
            with self._spec_databases.database(extensions, regression_name=regression_name) as database:
                yield database

    @contextmanager
    def bare_database(self) -> Iterator[str]:
        """Create an empty database, which is dropped when the context ends; yield its name.

        Raises:
            ServerError: it cannot be created.
        """
        self.ensure_cleanup()
        name = self._pool.take(EMPTY, keep_ready=0)
        self._in_use += 1
        try:
            yield name
        finally:
            self._in_use -= 1
            self._pool.give_back(name)

    def close_unused(self) -> None:
        """Close the unused connections that are open from one scenario to the next."""
        self.spec_monitors.clear()
        for unused in (self._sandboxes, self._spec_databases, self._user_database):
            unused.clear()

    def wait_until_idle(self) -> None:
        """Close unused connections, and wait until no database or schema is created or dropped."""
        self.close_unused()
        self._sandboxes.wait_until_idle(_IDLE_LIMIT)
        self._pool.wait_until_idle(_IDLE_LIMIT)

    def ensure_cleanup(self) -> None:
        """On a server that is not ours, start what cleans up if this process is killed; call it first."""
        if not self.ours:
            self._cleanup.begin()
            self._lease.begin()

    def _remove_dead_runs(self) -> None:
        try:
            with self.connect() as conn, self.health.shutdown_if_silent(conn):
                _, left = remove_dead_runs(conn, self.administrative())
        except psycopg.Error as error:
            raise ServerError(f"cannot list the databases of earlier runs: {str(error).strip()}") from error
        self.notes = describe_remaining(left)

    def end(self) -> None:
        """Start to drop what the run created: no more sandboxes are needed. `close` waits for it."""
        # a stopped pytest calls this before it tears down the fixtures of tests in Python
        if not self.ours and not self._in_use:
            self._close_sandboxes()
            self._pool.end(drop=True)

    def _close_sandboxes(self) -> None:
        self.spec_monitors.close()
        self._sandboxes.close(limit=0.5 if self.ours else 5.0)
        self._spec_databases.close()
        self._user_database.clear()

    def close(self) -> list[str]:
        """Drop what the run created and stop a private server; it may be called twice, and for a dead server.

        Returns:
            What may remain on a server that is not ours, and of servers that the run started, a line each.
        """
        self._close_sandboxes()
        self._clusters.close()
        if self.private is not None:
            self._pool.close(drop=False, limit=0.5)
            self.private.close()
            return self._clusters.left()
        left_servers = self._clusters.left()
        self._lease.end(self.health)
        left = self._pool.close(drop=True)
        clean = not left and self._user_database.clean
        if self._cleanup.end(self.health, clean=clean, limit=self._clusters.end_limit()):
            return left_servers
        return left_servers + self._describe_left(left)

    def _describe_left(self, databases: Sequence[str]) -> list[str]:
        """List what was not removed, and how to remove it."""
        why = ", which does not answer" if self.health.silent else ""
        begin = f"left on the server at {one_line(self.address)}{why}"
        end = f"the next run there removes {'it' if len(databases) == 1 else 'them'}. By hand: "
        lines = (
            [f"{begin}: {', '.join(databases)}; {end}{drop_statements(databases, if_exists=True)}"] if databases else []
        )
        if not self._user_database.clean:
            what = f"what was installed in database {one_line(self.database)}"
            lines.append(f"{begin}: {what}; the next run in it removes that. By hand: {in_place.REMOVAL_STATEMENT}")
        return lines

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
