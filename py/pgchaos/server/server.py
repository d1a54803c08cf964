"""The server of a run: chosen, checked, and asked for sandboxes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgchaos.scenario.model import Requirement
from pgchaos.server import in_place, pgtap, requirements
from pgchaos.server.choice import Choice, choose
from pgchaos.server.databases import APPLICATION, remove_dead_runs
from pgchaos.server.ledger import Ledger
from pgchaos.server.leftovers import remove_dead_servers
from pgchaos.server.maker import Maker
from pgchaos.server.own import OwnServers
from pgchaos.server.plain import BARE, Lent
from pgchaos.server.pool import Pool
from pgchaos.server.private import PrivateServer, start_private
from pgchaos.server.probe import Probe, free_slots, probe
from pgchaos.server.runs import Run
from pgchaos.server.sandbox import Sandbox
from pgchaos.server.settings import ServerError, ServerSettings
from pgchaos.server.shared import A_SCHEMA, SharedDatabase
from pgchaos.server.shelf import Shelf
from pgchaos.server.watch import Watch

_NOT_OURS = (
    "requires a server of our own, and this one is not: run without PGHOST and --chaos-dsn, or permit its harm with "
    "--chaos-allow-destructive {database}"
)


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
    choice = choose(settings, environ)
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


class Server:
    """A server, ours or not, and the databases that the run makes on it. Safe to use from several threads.

    Args:
        settings: what the user said.
        choice: which server it is.
        private: the server itself, if it is ours.

    Raises:
        ServerError: it cannot be used.
    """

    def __init__(self, settings: ServerSettings, choice: Choice, private: PrivateServer | None) -> None:
        self._settings = settings
        self._private = private
        self._run = Run.new()
        self._lock = threading.Lock()
        self._in_place = threading.Lock()
        self._sharing = threading.Lock()
        self._own = OwnServers(_programs(private, settings, choice), settings.pgtap)
        self._shared: dict[tuple[str, ...], SharedDatabase] = {}
        self._shelves: dict[str, Shelf] = {}
        self._plain: list[str] = []
        self._missing: dict[Requirement, str] = {}
        self._watch: Watch | None = None
        self._left_in_place = False
        base = make_conninfo(**private.parameters) if private is not None else choice.conninfo or ""
        self._probe: Probe = probe(base, choice, private is not None, settings.in_place)
        self._conninfo = self._probe.conninfo
        pgtap.demand(self._conninfo, settings.pgtap)
        maker = Maker(self._conninfo, self._run, self.ours, settings.pgtap, Ledger())
        self._pool = Pool(maker, settings.clones)
        if self.ours:
            self._pool.expect(())
        else:
            self._remove_dead_runs()

    @property
    def ours(self) -> bool:
        """Whether this run started it."""
        return self._private is not None

    @property
    def private(self) -> PrivateServer | None:
        """The private server: its log, its programs and its postmaster's pid; None for a server not ours."""
        return self._private

    @property
    def run(self) -> Run:
        """The run, as it is written beside what it makes."""
        return self._run

    @property
    def database(self) -> str:
        """The database to administer from; with `in_place` the one to work in."""
        return self._probe.database

    @property
    def version(self) -> int:
        """The server's version as libpq gives it: 180006."""
        return self._probe.version

    @property
    def superuser(self) -> bool:
        """Whether our role is a superuser."""
        return self._probe.superuser

    @property
    def banner(self) -> str:
        """One line for the head of a report: server, version, and whether it is ours."""
        if self._private is not None:
            of = "" if self._probe.embedded else f" of {self._private.bindir}"
            return f"PostgreSQL {self._probe.shown}, private server{of} (ours)"
        works = (
            f"in place in database {self._probe.database}"
            if self._settings.in_place
            else ("only in databases pgchaos_…")
        )
        return (
            f"PostgreSQL {self._probe.shown} at {self._probe.place}, role {self._probe.role} (not ours: works {works})"
        )

    @property
    def in_place(self) -> bool:
        """Whether scenarios work in the database that the user named."""
        return self._settings.in_place

    @property
    def may_be_harmed(self) -> bool:
        """Whether server-wide harm is permitted: it is ours, or the user named its database for that."""
        return self.ours or self._probe.database in self._settings.allow_destructive

    def conninfo(self, database: str | None = None) -> str:
        """Say how to connect.

        Args:
            database: its name, None for the one to administer from.

        Returns:
            A connection string for libpq; it may hold a password.
        """
        return make_conninfo(self._conninfo, **({} if database is None else {"dbname": database}))

    def connect(self, database: str | None = None) -> psycopg.Connection[tuple[object, ...]]:
        """Connect, for administration.

        Args:
            database: its name, None for the one to administer from.

        Returns:
            A connection in autocommit mode; the caller closes it.

        Raises:
            psycopg.OperationalError: the server cannot be reached.
        """
        return psycopg.connect(self.conninfo(database), autocommit=True)

    def free_slots(self) -> int:
        """Count the connections that may still be made.

        Raises:
            ServerError: the server cannot be asked.
        """
        try:
            with self.connect() as conn:
                return free_slots(conn)
        except psycopg.OperationalError as error:
            raise ServerError(f"the server does not answer: {str(error).strip()}") from error

    def missing(self, requirement: Requirement) -> str:
        """Say why a requirement is not met.

        Args:
            requirement: of a scenario.

        Returns:
            The reason with the way to get it, '' where it is met.

        Raises:
            ServerError: the server cannot be asked.
        """
        with self._lock:
            if requirement not in self._missing:
                self._missing[requirement] = self._look_for(requirement)
            return self._missing[requirement]

    def _look_for(self, requirement: Requirement) -> str:
        if requirement.kind == "server":
            if requirements.satisfies(self._probe.shown, requirement.operator, requirement.version):
                return ""
            return (
                f"requires server {requirement.operator} {requirement.version}, and this is {self._probe.shown}: "
                "set PG_BINDIR to the programs of another version"
            )
        if requirement.kind == "superuser":
            return "" if self.superuser else f"requires a superuser, and role {self._probe.role} is none"
        if requirement.kind == "own server":
            return "" if self.may_be_harmed else _NOT_OURS.format(database=self._probe.database)
        try:
            with self.connect() as conn:
                if requirement.kind == "extension":
                    return requirements.missing_extension(conn, requirement, self.superuser)
                return requirements.missing_capability(conn, requirement)
        except psycopg.OperationalError as error:
            raise ServerError(f"the server does not answer: {str(error).strip()}") from error

    @contextmanager
    def sandbox(
        self, extensions: tuple[str, ...] = (), *, schema: bool = False, again: bool = False
    ) -> Iterator[Sandbox]:
        """Lend a place to one scenario, with pgTAP, the toolkit and extensions in it.

        Args:
            extensions: to create beside them.
            schema: a schema will do.
            again: a database will do that was lent before and is as it was then, as its `keep` said.

        Yields:
            A database of its own, or with `in_place` the named one; with `schema` an empty schema, first on the
            search_path, in a database that all such scenarios with these extensions share, or in the named one.

        Raises:
            ServerError: there is none to be had.
        """
        self.watch_over()
        if self._settings.in_place:
            with self._sandbox_in_place(extensions) as sandbox:
                yield sandbox
            return
        if schema:
            with self._schema(tuple(sorted(set(extensions)))) as sandbox:
                yield sandbox
            return
        if again:
            with self._database_again(tuple(sorted(set(extensions)))) as sandbox:
                yield sandbox
            return
        name = self._pool.take(tuple(sorted(set(extensions))))
        try:
            yield Sandbox(name, self.conninfo(name), spare=self.spare, power=self._private)
        finally:
            self._pool.give_back(name)

    @contextmanager
    def _database_again(self, extensions: tuple[str, ...]) -> Iterator[Sandbox]:
        name = self._pool.take_again(extensions)
        shelf = self._shelves.get(name)
        if shelf is None:
            shelf = self._shelves[name] = Shelf(make_conninfo(self.conninfo(name), application_name="check"))
        kept: list[bool] = []
        try:
            yield Sandbox(
                name,
                shelf.conninfo,
                shelf=shelf,
                spare=self.spare,
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
    def rehearsals(self, extensions: tuple[str, ...] = ()) -> Iterator[Callable[[], AbstractContextManager[Sandbox]]]:
        """Lend a database of its own to the many runs of one scenario.

        Args:
            extensions: to create beside pgTAP and the toolkit.

        Yields:
            What lends each run an empty schema in it, first on the search_path.

        Raises:
            ServerError: there is none to be had.
        """
        self.watch_over()
        name = self._pool.take(tuple(sorted(set(extensions))))
        try:
            own = self._shared_database(name)
            try:
                yield lambda: self._schema_in(own)
            finally:
                own.close()
        finally:
            self._pool.give_back(name)

    @contextmanager
    def own_sandbox(
        self, extensions: tuple[str, ...], settings: Mapping[str, str], disks: Mapping[str, int]
    ) -> Iterator[Sandbox]:
        """Lend a server of its own to one scenario, whichever server this is.

        Args:
            extensions: to create in its database, beside pgTAP and the toolkit.
            settings: its parameters.
            disks: folders of the server that get a small file system each, with its size in bytes.

        Yields:
            A database of it.

        Raises:
            ServerError: it does not start, or lacks something.
        """
        with self._own.sandbox(extensions, settings, disks) as sandbox:
            yield sandbox

    def own_missing(self, requirement: Requirement) -> str:
        """Say why a server of a scenario's own does not meet a requirement; see `missing`."""
        # where this one is ours, they are of the same programs
        return self.missing(requirement) if self.ours else self._own.missing(requirement)

    @contextmanager
    def _schema(self, extensions: tuple[str, ...]) -> Iterator[Sandbox]:
        with self._sharing:
            shared = self._shared.get(extensions)
            if shared is None:
                # never given back: it goes with all that the run made
                name = self._pool.take(extensions)
                shared = self._shared[extensions] = self._shared_database(name)
        with self._schema_in(shared) as sandbox:
            yield sandbox

    def _shared_database(self, name: str) -> SharedDatabase:
        settings = {"search_path": f"{A_SCHEMA}, public", "chaos.run": A_SCHEMA}
        return SharedDatabase(name, self.conninfo(name), self._with_settings(settings, name))

    @contextmanager
    def _schema_in(self, shared: SharedDatabase) -> Iterator[Sandbox]:
        schema = shared.take()
        try:
            yield Sandbox(shared.name, shared.conninfo_of(schema), schema=schema, shelf=shared.shelf, spare=self.spare)
        finally:
            shared.give_back(schema)

    @contextmanager
    def plain(self) -> Iterator[Lent]:
        """Lend a database without pgTAP and toolkit to one spec.

        Yields:
            A database of its own, which serves another spec afterwards if it is found clean; with `in_place` a schema
            of its own in the named one.

        Raises:
            ServerError: there is none to be had.
        """
        self.watch_over()
        if self._settings.in_place:
            with self._sandbox_in_place(()) as sandbox:
                yield Lent(sandbox)
            return
        with self._lock:
            name = self._plain.pop() if self._plain else ""
        name = name or self._pool.take(BARE)
        lent = Lent(Sandbox(name, self.conninfo(name), spare=self.spare))
        try:
            yield lent
        finally:
            if lent.clean:
                with self._lock:
                    self._plain.append(name)
            else:
                self._pool.give_back(name)

    def spare(self) -> None:
        """Close the connections that are kept from one scenario to the next."""
        for shelf in (*(shared.shelf for shared in list(self._shared.values())), *list(self._shelves.values())):
            shelf.clear()

    @contextmanager
    def _sandbox_in_place(self, extensions: tuple[str, ...]) -> Iterator[Sandbox]:
        with self._in_place, ExitStack() as stack:
            application = APPLICATION + self._run.id
            try:
                conninfo = make_conninfo(self._conninfo, application_name=application)
                conn = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
            except psycopg.OperationalError as error:
                raise ServerError(f"the server does not answer: {str(error).strip()}") from error
            self._left_in_place = True
            stack.enter_context(in_place.furnished(conn, self._run, extensions, self._settings.pgtap))
            (path,) = conn.execute("SHOW search_path").fetchone() or ("public",)
            # what a scenario makes without saying where goes with the run, as it would in a database of its own
            own = in_place.SANDBOX_SCHEMA
            conninfo = self._with_settings({"search_path": f"{own}, {path}, {in_place.PGTAP_SCHEMA}"})
            yield Sandbox(self._probe.database, conninfo, in_place=True, schema=own)
        self._left_in_place = False

    def _with_settings(self, settings: Mapping[str, str], database: str | None = None) -> str:
        options = [str(conninfo_to_dict(self._conninfo).get("options") or "")]
        for name, value in settings.items():
            escaped = value.replace("\\", "\\\\").replace(" ", "\\ ")
            options.append(f"-c {name}={escaped}")
        return make_conninfo(self.conninfo(database), options=" ".join(options).strip())

    def watch_over(self) -> None:
        """Before anything is made on a server not ours: see that it goes even if this process is killed.

        Raises:
            ServerError: the process that would see to it cannot be started.
        """
        if self.ours:
            return
        with self._lock:
            if self._watch is None:
                watch = Watch()
                watch.ask("watch", conninfo=self._conninfo, run=self._run.id, path=sys.path)
                self._watch = watch

    def _remove_dead_runs(self) -> None:
        try:
            with self.connect() as conn:
                remove_dead_runs(conn, self._conninfo)
        except psycopg.Error as error:
            raise ServerError(f"cannot look for databases of earlier runs: {str(error).strip()}") from error

    def close(self) -> None:
        """Drop what the run made and stop a private server; more than once does no harm, nor does a dead server."""
        for shared in self._shared.values():
            shared.close(limit=0.5 if self.ours else 5.0)
        for shelf in list(self._shelves.values()):
            shelf.close()
        self._own.close()
        if self._private is not None:
            self._pool.close(drop=False, limit=0.5)
            self._private.close()
            return
        clean = self._pool.close(drop=True)
        with self._lock:
            watch, self._watch = self._watch, None
        if watch is not None:
            if clean and not self._left_in_place:
                with suppress(ServerError):  # a watch that is gone cleans nothing up
                    watch.ask("forget")
            watch.close(limit=30.0)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _programs(private: PrivateServer | None, settings: ServerSettings, choice: Choice) -> Path | None:
    """Say which programs a scenario's own server runs: those of the run's, else those that the user named."""
    if private is not None:
        return private.programs
    return settings.pg_bindir or choice.beside
