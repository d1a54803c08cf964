"""Creates and drops databases on a server, one at a time, over one connection that lasts as long as the run."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq, sql

from pgchaos.server.conninfo import Connection, make_conninfo
from pgchaos.server.databases import database_name, drop_database, name_while_created
from pgchaos.server.run_id import APPLICATION, RunId, clock
from pgchaos.server.sandbox import create_extensions, install_pgtap, set_up_database
from pgchaos.server.settings import ServerError

if TYPE_CHECKING:
    from typing_extensions import LiteralString

# Keys of databases in a pool. The other keys are the extensions beside pgTAP and the toolkit.
EMPTY = ("",)  # nothing, not even pgTAP and the toolkit
WITH_PGTAP = ("", "pgtap")  # pgTAP without the toolkit
_LOADED = ("", "load")  # followed by extensions: these, without pgTAP and the toolkit

_TEMPLATE = "template0"  # no session can be connected to it, and it holds only what initdb created
_RECOVERY_LIMIT = 20.0
_EXISTS = """
    SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()),
           EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = %s)
"""
_COMMITTED = """
    SELECT id FROM pg_catalog.generate_series(
        %s::bigint, pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) - 1) id
    WHERE pg_catalog.txid_status(id) = 'committed'
"""
# The row has 32 bits of the id. It is the latest id with these bits that is not in the future.
_CREATED_BY = """
    SELECT e.n - pg_catalog.mod(e.n - d.xmin::text::bigint, 4294967296)
    FROM pg_catalog.pg_database d, pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) e (n)
    WHERE d.datname = %s
"""


class CreatedDatabases:
    """What the factories of a run created, and by which transactions. Thread-safe."""

    def __init__(self) -> None:
        self.names: set[str] = set()  # databases that may exist
        self.numbers = itertools.count(1)  # for the next names
        self._lock = threading.Lock()
        self._transactions: set[int] = set()
        self._one_of: list[set[int]] = []

    def record(self, transaction: int) -> None:
        """Record the id of a transaction that created or changed a database."""
        with self._lock:
            self._transactions.add(transaction)

    def record_one_of(self, transactions: Collection[int]) -> None:
        """Record that one of these dropped a database: DROP DATABASE does not show the id of its transaction."""
        with self._lock:
            self._one_of.append(set(transactions))

    def explains(self, transactions: Collection[int]) -> bool:
        """Return whether the factories made all of these committed transactions."""
        with self._lock:
            if not self._transactions.issuperset(transactions):
                self._resolve()
            return self._transactions.issuperset(transactions)

    def _resolve(self) -> None:
        for ids in self._one_of:
            ids -= self._transactions
        found = [ids for ids in self._one_of if len(ids) == 1]
        self._transactions.update(*found)
        self._one_of = [ids for ids in self._one_of if ids and ids not in found]


def with_extensions(extensions: Sequence[str]) -> tuple[str, ...]:
    """Return the key of databases that have these extensions, without pgTAP and the toolkit."""
    return (*_LOADED, *extensions) if extensions else EMPTY


def loaded_extensions(key: Sequence[str]) -> tuple[str, ...] | None:
    """Return the extensions of a key from `with_extensions`, None for another key."""
    return tuple(key[len(_LOADED) :]) if tuple(key[: len(_LOADED)]) == _LOADED else None


class DatabaseFactory:
    """Creates templates and clones, and drops them. For one thread.

    Args:
        conninfo: connection string of the database to administer from.
        run: the run that owns the databases.
        ours: a private server: the owner needs no record, and a checkpoint disturbs no other user.
        pgtap_from: the file or folder to load pgTAP from, None to search for it.
        created: shared by the factories of the run.

    Attributes:
        prepared: a database with pgTAP and the toolkit that the server started with, for the first template; or ''.
    """

    def __init__(
        self, conninfo: str, run: RunId, ours: bool, pgtap_from: Path | None, created: CreatedDatabases
    ) -> None:
        self._conninfo = conninfo
        self._run = run
        self._ours = ours
        self._pgtap_from = pgtap_from
        self.created = created
        self.prepared = ""
        self._conn: Connection | None = None

    def copy(self) -> DatabaseFactory:
        """Make a factory for another thread."""
        return DatabaseFactory(self._conninfo, self._run, self._ours, self._pgtap_from, self.created)

    def open(self) -> None:
        """Connect; psycopg.Error if the server refuses."""
        self._connection()

    def template(self, extensions: tuple[str, ...]) -> str:
        """Create a database to clone."""
        if extensions == EMPTY:
            return _TEMPLATE
        if not extensions and self.prepared:
            return self._adopt()
        name = self._create(_TEMPLATE, template=True)
        try:
            with psycopg.connect(make_conninfo(self._conninfo, dbname=name), autocommit=True) as conn:
                conn.execute("SET client_min_messages = 'warning'")
                if extensions == WITH_PGTAP:
                    install_pgtap(conn, self._pgtap_from)
                elif (loaded := loaded_extensions(extensions)) is not None:
                    create_extensions(conn, loaded)
                else:
                    set_up_database(conn, extensions, self._pgtap_from)
            self._wait_until_unused(name)
            self._execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        except ServerError:
            self.drop(name)
            raise
        return name

    def _adopt(self) -> str:
        """Turn the database that the server started with into a template."""
        prepared, self.prepared = self.prepared, ""
        # A server removes pg_internal.init when it starts, and a connection writes it. Clones have a copy of it, so
        # that the first connection to a clone reads less of the catalog.
        psycopg.connect(make_conninfo(self._conninfo, dbname=prepared), autocommit=True).close()
        self._wait_until_unused(prepared)
        name = database_name(self._run.id, next(self.created.numbers), template=True)
        with self._recorded() as conn:
            change = sql.SQL("ALTER DATABASE {} RENAME TO {}; ALTER DATABASE {} ALLOW_CONNECTIONS false")
            conn.execute(change.format(sql.Identifier(prepared), sql.Identifier(name), sql.Identifier(name)))
        return name

    def clone(self, template: str) -> str:
        """Clone a template."""
        return self._create(template)

    def drop(self, name: str) -> None:
        """Drop a database of the run; psycopg.Error if that fails."""
        since, exists = self._one(_EXISTS, name)
        drop_database(self._connection(), self._conninfo, name)
        if exists:
            committed = self._connection().execute(_COMMITTED, [since]).fetchall()
            self.created.record_one_of({int(str(txid)) for (txid,) in committed})
        self.created.names.discard(name)

    def drop_all(self) -> None:
        """Drop all databases of the run while the server answers; those that remain stay in `created.names`."""
        for name in sorted(self.created.names):
            with contextlib.suppress(psycopg.Error):  # drop the others all the same
                self.drop(name)
            if not self.connected():
                return

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._conn is not None:
            self._conn.close()

    def check(self) -> None:
        """Run a query: only then does psycopg notice that the server closed the connection."""
        if self._conn is not None:
            with contextlib.suppress(psycopg.Error):  # `connected` reports the result
                self._conn.execute("SELECT 1")

    def connected(self) -> bool:
        """Return whether the connection is open, as far as is known."""
        return self._conn is not None and not self._conn.closed

    def _create(self, source: str, template: bool = False) -> str:
        name = database_name(self._run.id, next(self.created.numbers), template)
        if self._ours:
            self._copy(source, name)
            return name
        run = self._run.at(clock(self._connection()))
        temporary_name = name_while_created(run, name)
        self._copy(source, temporary_name)
        return self._record_owner(run, temporary_name, name)

    def _copy(self, source: str, name: str) -> None:
        self.created.names.add(name)  # before it exists: the answer may be lost
        # Measured with pgTAP loaded, fsync off: 17 ms by FILE_COPY, 31 ms by WAL_LOG. But FILE_COPY forces checkpoints,
        # which slow down the other users of a shared server.
        strategy = " STRATEGY FILE_COPY" if self._ours and self._connection().info.server_version >= 150000 else ""
        try:
            self._execute("CREATE DATABASE {} TEMPLATE {}" + strategy, name, source)
        except psycopg.errors.DuplicateDatabase:
            self.created.names.discard(name)  # another run's
            raise
        (txid,) = self._one(_CREATED_BY, name)
        self.created.record(int(str(txid)))

    def _record_owner(self, run: RunId, temporary_name: str, name: str) -> str:
        """Write the run on a database and rename it, in one transaction; return its name."""
        self.created.names.add(name)
        try:
            with self._recorded() as conn:
                _comment(conn, temporary_name, run)
                conn.execute(
                    sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*map(sql.Identifier, (temporary_name, name)))
                )
        except psycopg.errors.DuplicateDatabase:
            self.created.names.discard(name)  # another run's
            raise
        except psycopg.errors.ObjectInUse:
            # another session is connected, such as a monitor's: the database keeps this name
            self.created.names.discard(name)
            with self._recorded() as conn:
                _comment(conn, temporary_name, run)
            return temporary_name
        self.created.names.discard(temporary_name)
        return name

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[Connection]:
        """Open a transaction whose id is recorded."""
        with self._connection().transaction():
            yield self._connection()
            (txid,) = self._one("SELECT pg_catalog.txid_current()")
        self.created.record(int(str(txid)))

    def renew(self) -> None:
        """Renew the run's sign of life in the comments on its databases."""
        run = self._run.at(clock(self._connection()))
        for name in sorted(self.created.names.copy()):
            # another thread may be creating or dropping it
            with contextlib.suppress(psycopg.errors.InvalidCatalogName), self._recorded() as conn:
                conn.execute("SET LOCAL lock_timeout = '10s'")
                _comment(conn, name, run)

    def _one(self, query: LiteralString, *values: str) -> tuple[object, ...]:
        row = self._connection().execute(query, values).fetchone()
        assert row is not None, "of our own database, or a SELECT without FROM"
        return row

    def _execute(self, statement: LiteralString, *names: str) -> None:
        self._connection().execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _wait_until_unused(self, name: str) -> None:
        """Wait for the end of our own session: CREATE DATABASE checks for other sessions only every 100 ms."""
        end = time.monotonic() + 5.0
        query = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        while time.monotonic() < end and self._connection().execute(query, [name]).fetchone():
            time.sleep(0.001)  # polled: the end of a backend is not reported

    def _connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn = connect_for_long(self._conninfo, APPLICATION + self._run.id)
        return self._conn


def _comment(conn: Connection, name: str, run: RunId) -> None:
    record = sql.Literal(run.dumps())
    conn.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), record))


def connect_for_long(conninfo: str, name: str) -> Connection:
    """Connect, with autocommit, to a server that may be restarting; the connection lasts as long as the run.

    Raises:
        psycopg.OperationalError: the server cannot be reached, or recovers for more than 20 s.
    """
    end = time.monotonic() + _RECOVERY_LIMIT
    # tcp_user_timeout: a network that drops all packets must not block the thread for ever
    conninfo = make_conninfo(conninfo, application_name=name, tcp_user_timeout=20000)
    refused = ""
    while isinstance(conn := _try_connect(conninfo), psycopg.OperationalError):
        state = pq.PGconn.ping(conninfo.encode())
        # A server that answers now may have been starting when it refused. After a crash the first error is a lost
        # connection, and the next one a refusal during recovery. The same refusal twice is not a restart. A crash also
        # ends the process that would answer the ping: then a refusal in words shows that there was a server.
        answered = state == pq.Ping.OK or "FATAL:" in str(conn)
        restarts = state == pq.Ping.REJECT or (answered and refused != str(conn))
        if not restarts or time.monotonic() > end:
            raise conn
        refused = "" if state == pq.Ping.REJECT else str(conn)
        time.sleep(0.02)  # polled: the end of a recovery is not reported
    conn.execute("SET statement_timeout = '60s'; SET idle_session_timeout = 0")
    return conn


def _try_connect(conninfo: str) -> Connection | psycopg.OperationalError:
    try:
        return psycopg.connect(conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        return error
