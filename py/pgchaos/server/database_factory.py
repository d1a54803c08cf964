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
from pgchaos.server.databases import database_name, drop_database, name_while_made
from pgchaos.server.run_id import APPLICATION, RunId, clock
from pgchaos.server.sandbox import create_extensions, install_pgtap, set_up_database
from pgchaos.server.settings import ServerError

if TYPE_CHECKING:
    from typing_extensions import LiteralString


class CreatedDatabases:
    """Shared by the makers of a run. Safe to use from several threads.

    Attributes:
        made: names of databases that may be there.
        numbers: for their names.
    """

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._own: set[int] = set()
        self._among: list[set[int]] = []

    def note(self, transaction: int) -> None:
        """Note a transaction that made a database, or did something to one."""
        with self._lock:
            self._own.add(transaction)

    def note_among(self, transactions: Collection[int]) -> None:
        """Note the one transaction that dropped a database, whose id cannot be asked for."""
        with self._lock:
            self._among.append(set(transactions))

    def explains(self, transactions: Collection[int]) -> bool:
        """Say whether transactions are all known to be of the makers.

        Args:
            transactions: by their ids, all of them committed.
        """
        with self._lock:
            if not self._own.issuperset(transactions):
                self._resolve()
            return self._own.issuperset(transactions)

    def _resolve(self) -> None:
        for among in self._among:
            among -= self._own
        found = [among for among in self._among if len(among) == 1]
        self._own.update(*found)
        self._among = [among for among in self._among if among and among not in found]


EMPTY = ("",)
"""Stands for the extensions of a database that has none, not even pgTAP and the toolkit."""
WITH_PGTAP = ("", "pgtap")
"""Stands for those of a database that has pgTAP and not the toolkit."""
_LOADED = ("", "load")
"""Begins those of a database that has them and nothing else."""

_BARE = "template0"
"""Nobody can be connected to it, and nothing strange is in it."""
_RECOVERY_LIMIT = 20.0
_THERE = """
    SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()),
           EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = %s)
"""
_COMMITTED = """
    SELECT id FROM pg_catalog.generate_series(
        %s::bigint, pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) - 1) id
    WHERE pg_catalog.txid_status(id) = 'committed'
"""
# The row has 32 bits of the id. It is the latest with these that is not in the future.
_MADE_BY = """
    SELECT e.n - pg_catalog.mod(e.n - d.xmin::text::bigint, 4294967296)
    FROM pg_catalog.pg_database d, pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) e (n)
    WHERE d.datname = %s
"""


def with_extensions(extensions: Sequence[str]) -> tuple[str, ...]:
    """Say what a pool calls the databases that have some extensions, and neither pgTAP nor the toolkit."""
    return (*_LOADED, *extensions) if extensions else EMPTY


def loaded_extensions(key: Sequence[str]) -> tuple[str, ...] | None:
    """Undo `with_loaded`."""
    return tuple(key[len(_LOADED) :]) if tuple(key[: len(_LOADED)]) == _LOADED else None


class DatabaseFactory:
    """Templates, clones and their end. Used by one thread.

    Args:
        conninfo: of the server, with the database to administer from.
        run: whose databases they are.
        ours: a private server: nothing needs to be recorded, and a checkpoint disturbs nobody.
        pgtap_from: where to load pgTAP from, None to look for it.
        ledger: of the run.
    """

    def __init__(
        self, conninfo: str, run: RunId, ours: bool, pgtap_from: Path | None, ledger: CreatedDatabases
    ) -> None:
        self._conninfo = conninfo
        self._run = run
        self._ours = ours
        self._pgtap_from = pgtap_from
        self.ledger = ledger
        self._conn: Connection | None = None

    def another(self) -> DatabaseFactory:
        """Make a maker that another thread can use at the same time."""
        return DatabaseFactory(self._conninfo, self._run, self._ours, self._pgtap_from, self.ledger)

    def open(self) -> None:
        """Connect.

        Raises:
            psycopg.Error: the server refused.
        """
        self._connection()

    def template(self, extensions: tuple[str, ...]) -> str:
        """Make a database to clone from."""
        if extensions == EMPTY:
            return _BARE
        name = self._create(_BARE, template=True)
        try:
            with psycopg.connect(make_conninfo(self._conninfo, dbname=name), autocommit=True) as conn:
                conn.execute("SET client_min_messages = 'warning'")
                if extensions == WITH_PGTAP:
                    install_pgtap(conn, self._pgtap_from)
                elif (alone := loaded_extensions(extensions)) is not None:
                    create_extensions(conn, alone)
                else:
                    set_up_database(conn, extensions, self._pgtap_from)
            self._wait_until_left(name)
            self._execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        except ServerError:
            self.drop(name)
            raise
        return name

    def clone(self, template: str) -> str:
        """Clone a template."""
        return self._create(template)

    def drop(self, name: str) -> None:
        """Drop a database.

        Args:
            name: made here.

        Raises:
            psycopg.Error: it cannot be dropped.
        """
        (since, there) = self._one(_THERE, name)
        drop_database(self._connection(), self._conninfo, name)
        if there:
            committed = self._connection().execute(_COMMITTED, [since]).fetchall()
            self.ledger.note_among({int(str(own)) for (own,) in committed})
        self.ledger.made.discard(name)

    def drop_all(self) -> None:
        """Drop all that the makers of the run made, as far as the server still answers; `made` is what stays."""
        for name in sorted(self.ledger.made):
            with contextlib.suppress(psycopg.Error):  # `made` keeps its name
                self.drop(name)
            if not self.alive():
                return

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._conn is not None:
            self._conn.close()

    def check(self) -> None:
        """Find out whether the connection still stands: psycopg knows only once it is used."""
        if self._conn is not None:
            with contextlib.suppress(psycopg.Error):  # now it knows
                self._conn.execute("SELECT 1")

    def alive(self) -> bool:
        """Say whether the connection still stands."""
        return self._conn is not None and not self._conn.closed

    def _create(self, source: str, template: bool = False) -> str:
        name = database_name(self._run.id, next(self.ledger.numbers), template)
        if self._ours:
            self._copy(source, name)
            return name
        run = self._run.at(clock(self._connection()))
        half = name_while_made(run, name)
        self._copy(source, half)
        return self._record(run, half, name)

    def _copy(self, source: str, name: str) -> None:
        self.ledger.made.add(name)  # before it is: the answer may be lost
        # Measured with pgTAP loaded, fsync off: 17 ms by FILE_COPY, 31 ms by WAL_LOG. But FILE_COPY forces checkpoints,
        # which others on a shared server would feel.
        strategy = " STRATEGY FILE_COPY" if self._ours and self._connection().info.server_version >= 150000 else ""
        try:
            self._execute("CREATE DATABASE {} TEMPLATE {}" + strategy, name, source)
        except psycopg.errors.DuplicateDatabase:
            self.ledger.made.discard(name)  # it is somebody else's
            raise
        (own,) = self._one(_MADE_BY, name)
        self.ledger.note(int(str(own)))

    def _record(self, run: RunId, half: str, name: str) -> str:
        """Say on a database whose it is, and give it the name for use, both at once; return its name."""
        self.ledger.made.add(name)
        try:
            with self._noted() as conn:
                _comment(conn, half, run)
                conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*map(sql.Identifier, (half, name))))
        except psycopg.errors.DuplicateDatabase:
            self.ledger.made.discard(name)  # it is somebody else's
            raise
        except psycopg.errors.ObjectInUse:
            # a monitor, for instance, that connects to every database: then it keeps the name that it has
            self.ledger.made.discard(name)
            with self._noted() as conn:
                _comment(conn, half, run)
            return half
        self.ledger.made.discard(half)
        return name

    @contextlib.contextmanager
    def _noted(self) -> Iterator[Connection]:
        """A transaction that the ledger explains."""
        with self._connection().transaction():
            yield self._connection()
            (own,) = self._one("SELECT pg_catalog.txid_current()")
        self.ledger.note(int(str(own)))

    def renew(self) -> None:
        """Say on the run's databases that it lives."""
        run = self._run.at(clock(self._connection()))
        for name in sorted(self.ledger.made.copy()):
            # it may just be coming or going
            with contextlib.suppress(psycopg.errors.InvalidCatalogName), self._noted() as conn:
                conn.execute("SET LOCAL lock_timeout = '10s'")
                _comment(conn, name, run)

    def _one(self, query: LiteralString, *values: str) -> tuple[object, ...]:
        row = self._connection().execute(query, values).fetchone()
        assert row is not None, "of our own database, or a SELECT without FROM"
        return row

    def _execute(self, statement: LiteralString, *names: str) -> None:
        self._connection().execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _wait_until_left(self, name: str) -> None:
        """Wait for the end of our own session: CREATE DATABASE looks for others only every 100 ms."""
        end = time.monotonic() + 5.0
        query = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        while time.monotonic() < end and self._connection().execute(query, [name]).fetchone():
            time.sleep(0.001)  # polled: a backend goes without a word

    def _connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn = self._connect()
        return self._conn

    def _connect(self) -> Connection:
        return connect_for_long(self._conninfo, APPLICATION + self._run.id)


def _comment(conn: Connection, name: str, run: RunId) -> None:
    record = sql.Literal(run.dumps())
    conn.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), record))


def connect_for_long(conninfo: str, name: str) -> Connection:
    """Connect to a server that may be restarting, with a connection that lasts as long as the run.

    Args:
        conninfo: how.
        name: for application_name.

    Returns:
        A connection in autocommit mode.

    Raises:
        psycopg.OperationalError: the server cannot be reached, for 20 s where it recovers.
    """
    end = time.monotonic() + _RECOVERY_LIMIT
    # a network that swallows everything must not hold the thread for good
    conninfo = make_conninfo(conninfo, application_name=name, tcp_user_timeout=20000)
    refused = False
    while isinstance(conn := _try_connect(conninfo), psycopg.OperationalError):
        state = pq.PGconn.ping(conninfo.encode())
        # one that is up by now may have been starting: another refusal is for another reason
        restarts = state == pq.Ping.REJECT or (state == pq.Ping.OK and not refused)
        if not restarts or time.monotonic() > end:
            raise conn
        refused = state == pq.Ping.OK
        time.sleep(0.02)  # polled: a server says only to who asks that it has recovered
    conn.execute("SET statement_timeout = '60s'; SET idle_session_timeout = 0")
    return conn


def _try_connect(conninfo: str) -> Connection | psycopg.OperationalError:
    try:
        return psycopg.connect(conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        return error
