"""The server of a run: chosen, checked, and asked for sandboxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
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
from pgchaos.server.databases import describe_remaining, drop_statements, remove_dead_runs
from pgchaos.server.external_cleanup import ExternalCleanup, Lease
from pgchaos.server.named_database import NamedDatabase
from pgchaos.server.outside_schemas import look_at_contents
from pgchaos.server.private import PrivateServer, start_private
from pgchaos.server.requirements import Requirements
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.sandbox_provider import SandboxProvider, SearchDatabase
from pgchaos.server.server_folder import remove_dead_servers
from pgchaos.server.server_info import ServerInfo
from pgchaos.server.settings import ServerError, ServerSettings
from pgchaos.server.spec_databases import Lent

_CONTENTS = {Contents.NOTHING: EMPTY, Contents.PGTAP: WITH_PGTAP}
_SETTLED = 10.0
"""Seconds in which they do so."""


def open_server(settings: ServerSettings, environ: Mapping[str, str] = os.environ) -> Server:
    """Open the server that a run shall use.

    It is the one of `settings.dsn`, else a private one from `settings.pg_bindir` or PG_BINDIR, else the one that
    libpq's environment names, else a private one from the embedded binaries. First, what dead runs left is removed.

    Args:
        settings: what the user said.
        environ: looked at for the choice; libpq itself reads the process's own.

    Returns:
        The server; it is a context manager.

    Raises:
        ServerError: there is none, or it cannot be used; the message says what to do.
    """
    choice = choose_server(settings, environ)
    remove_dead_servers()
    if choice.conninfo is not None:
        return Server(settings, choice, None)
    if settings.in_place:
        raise ServerError("--chaos-in-place needs a database that is named: PGDATABASE, or dbname in --chaos-dsn")
    private = start_private(choice.bindir)
    try:
        return Server(settings, choice, private)
    except BaseException:  # Ctrl-C too: no server is left running
        private.close()
        raise


class Server(ServerInfo):
    """A server, and all that is lent on it. Safe to use from several threads.

    Args:
        settings: what the user said.
        choice: which server it is.
        private: the server itself, if it is ours.

    Raises:
        ServerError: it cannot be used.
    """

    def __init__(self, settings: ServerSettings, choice: ServerChoice, private: PrivateServer | None) -> None:
        super().__init__(settings, choice, private)
        pgtap.check_available(self.administrative(), settings.pgtap)
        self._own = ClusterFactory(_programs(private, settings, choice), settings.pgtap)
        self._requirements = Requirements(self)
        self._guard = ExternalCleanup(self.administrative(), self.run)
        self._named = NamedDatabase(self)
        maker = DatabaseFactory(self.administrative(), self.run, self.ours, settings.pgtap, CreatedDatabases())
        self._lease = Lease(maker.another())
        self._pool = DatabasePool(maker, settings.clones, self.answering, self.watch_over)
        self._lending = SandboxProvider(self, self._pool, self.spare)
        self._in_use = 0
        self.notes: list[str] = []
        """What the user should know of the server, a line each."""
        self.watches = ConnectionCache(self.administrative())
        """Where connections that look at the sessions of isolation specs wait for the next spec."""
        if self.ours:
            self._pool.expect(())
        else:
            self._remove_dead_runs()

    def prepare(self) -> None:
        """Begin to make what most scenarios will ask for, while their first is being read."""
        if not self.in_place:
            self._pool.expect(())

    def missing(self, requirement: Requirement) -> str:
        """Say why a requirement is not met.

        Args:
            requirement: of a scenario.

        Returns:
            The reason with the way to get it, '' where it is met.

        Raises:
            ServerError: the server cannot be asked.
        """
        return self._requirements.missing(requirement)

    def own_missing(self, requirement: Requirement) -> str:
        """Say why a server of a scenario's own does not meet a requirement; see `missing`."""
        # where this one is ours, they are of the same programs
        return self.missing(requirement) if self.ours else self._own.missing(requirement)

    def sandbox(
        self,
        extensions: tuple[str, ...] = (),
        *,
        schema: bool = False,
        again: bool = False,
        contents: Contents = Contents.TOOLKIT,
    ) -> AbstractContextManager[Sandbox]:
        """Lend a place to one scenario, with pgTAP, the toolkit and extensions in it.

        Args:
            extensions: to create beside them.
            schema: a schema will do.
            again: a database will do that was lent before and is as it was then, as its `keep` said.
            contents: less than that; then there are no extensions either.

        Returns:
            A context with a database of its own, or with `in_place` the named one; with `schema` an empty schema, first
            on the search_path, in a database that all such scenarios with these extensions share, or in the named one.

        Raises:
            ServerError: there is none to be had.
        """
        self.watch_over()
        known = _CONTENTS.get(contents, tuple(sorted(set(extensions))))
        if self.in_place:
            return self._named.sandbox(extensions, contents)
        if schema:
            return self._lending.schema(known)
        return self._lending.database_again(known) if again else self._lending.database(known)

    def rehearsals(self, extensions: tuple[str, ...] = ()) -> AbstractContextManager[SearchDatabase]:
        """Lend a database of its own to the many runs of one scenario.

        Args:
            extensions: to create beside pgTAP and the toolkit.

        Returns:
            A context with what lends each run an empty schema in it, first on the search_path.

        Raises:
            ServerError: there is none to be had.
        """
        self.watch_over()
        return self._lending.rehearsals(tuple(sorted(set(extensions))))

    def rehearsal(self, extensions: tuple[str, ...] = ()) -> AbstractContextManager[Sandbox]:
        """Lend a schema in a new database to one run, which may change all of it.

        Args:
            extensions: to create beside pgTAP and the toolkit.

        Returns:
            A context with the schema, empty and first on the search_path; the database is dropped afterwards.

        Raises:
            ServerError: there is none to be had.
        """
        self.watch_over()
        return self._lending.rehearsal(tuple(sorted(set(extensions))))

    def contents(self) -> Callable[[], list[str]]:
        """See what is in the tables and sequences of the named database, before the runs of a search.

        Returns:
            What names those that hold something else by now.

        Raises:
            ServerError: it cannot be looked at.
        """
        try:
            with self.connect() as conn, self.answering.attending(conn):
                look = look_at_contents(conn)
        except psycopg.Error as error:
            raise ServerError(f"cannot look at database {self.database}: {str(error).strip()}") from error

        def changed() -> list[str]:
            try:
                with self.connect() as conn, self.answering.attending(conn):
                    rows = conn.execute(look.query.encode()).fetchall()
            except psycopg.Error as error:
                return [f"what cannot be looked at any more ({str(error).strip()})"]
            return look.changed((str(name), str(state)) for name, state in rows)

        return changed

    def own_sandbox(
        self, extensions: tuple[str, ...], settings: Mapping[str, str], disks: Mapping[str, int]
    ) -> AbstractContextManager[Sandbox]:
        """Lend a server of its own to one scenario, whichever server this is.

        Args:
            extensions: to create in its database, beside pgTAP and the toolkit.
            settings: its parameters.
            disks: folders of the server that get a small file system each, with its size in bytes.

        Returns:
            A context with a database of it.

        Raises:
            ServerError: it does not start, or lacks something.
        """
        return self._own.sandbox(extensions, settings, disks)

    @contextmanager
    def plain(self, extensions: Sequence[str] = (), *, named: bool = False) -> Iterator[Lent]:
        """Lend a database without pgTAP and toolkit to one spec.

        Args:
            extensions: to create in it, in this order.
            named: it is called isolation_regression, if the server is ours.

        Yields:
            A database of its own, which serves another spec afterwards if it is found clean; with `in_place` a schema
            of its own in the named one.

        Raises:
            ServerError: there is none to be had.
        """
        self.watch_over()
        if self.in_place:
            with self._named.sandbox(tuple(extensions)) as sandbox:
                yield Lent(sandbox)
        else:
            with self._lending.plain(extensions, named=named) as lent:
                yield lent

    @contextmanager
    def bare_database(self) -> Iterator[str]:
        """Lend a new database with nothing in it, for all of a run; it is dropped when the context ends.

        Yields:
            Its name.

        Raises:
            ServerError: none can be made.
        """
        self.watch_over()
        name = self._pool.take(EMPTY, ahead=0)
        self._in_use += 1
        try:
            yield name
        finally:
            self._in_use -= 1
            self._pool.give_back(name)

    def spare(self) -> None:
        """Close the connections that are kept from one scenario to the next."""
        self.watches.clear()
        self._lending.clear()

    def settle(self) -> None:
        """Close what is kept, and wait until databases and schemas neither come nor go."""
        self.spare()
        self._lending.rest(_SETTLED)
        self._pool.rest(_SETTLED)

    def watch_over(self) -> None:
        """Before anything is made on a server not ours: see that it goes even if this process is killed."""
        if not self.ours:
            self._guard.begin()
            self._lease.begin()

    def _remove_dead_runs(self) -> None:
        try:
            with self.connect() as conn, self.answering.attending(conn):
                _, left = remove_dead_runs(conn, self.administrative())
        except psycopg.Error as error:
            raise ServerError(f"cannot look for databases of earlier runs: {str(error).strip()}") from error
        self.notes = describe_remaining(left)

    def end(self) -> None:
        """Begin to drop what the run made: nobody asks for a sandbox any more. `close` waits for it."""
        # what tests in Python use is torn down after this where pytest is stopped
        if not self.ours and not self._in_use:
            self._close_lending()
            self._pool.end(drop=True)

    def _close_lending(self) -> None:
        self.watches.close()
        self._lending.close(limit=0.5 if self.ours else 5.0)

    def close(self) -> list[str]:
        """Drop what the run made and stop a private server; more than once does no harm, nor does a dead server.

        Returns:
            What may be left on a server that is not ours, a line each.
        """
        self._close_lending()
        self._own.close()
        if self.private is not None:
            self._pool.close(drop=False, limit=0.5)
            self.private.close()
            return []
        self._lease.end(self.answering)
        left = self._pool.close(drop=True)
        if self._guard.end(self.answering, clean=not left and self._named.clean):
            return []
        return self._left(left)

    def _left(self, databases: Sequence[str]) -> list[str]:
        """Say what was not removed, and how somebody removes it."""
        why = ", which does not answer" if self.answering.silent else ""
        begin = f"left on the server at {one_line(self.place)}{why}"
        end = f"the next run there removes {'it' if len(databases) == 1 else 'them'}. By hand: "
        said = [f"{begin}: {', '.join(databases)}; {end}{drop_statements(databases, there=False)}"] if databases else []
        if not self._named.clean:
            what = f"what was brought into database {one_line(self.database)}"
            said.append(f"{begin}: {what}; the next run in it removes that. By hand: {in_place.REMOVAL_STATEMENT}")
        return said

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _programs(private: PrivateServer | None, settings: ServerSettings, choice: ServerChoice) -> Path | None:
    """Say which programs a scenario's own server runs: those of the run's, else those that the user named."""
    if private is not None:
        return private.programs
    return settings.pg_bindir or choice.beside
