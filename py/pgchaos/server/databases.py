"""The databases that runs make on a server: their names, their owners, and how they are dropped."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import psycopg
from psycopg import pq, sql

from pgchaos.server import in_place
from pgchaos.server.conninfo import Connection, make_conninfo
from pgchaos.server.run_id import APPLICATION, RunId, clock

PREFIX = "pgchaos_"

NAMED = "pggit_chaos_test"
"""What the database of chaos tests in Python is called on a private server."""

_NAME = re.compile(r"pgchaos_([0-9a-f]{8})_t?[0-9]+")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_UNKNOWN = "0" * 12
_MAKING = re.compile(_NAME.pattern + r"_([0-9a-f]{12})_([0-9a-z]+)_([0-9a-z]+)_([0-9a-z]+)")
"""The name of a database that is being made: system, pid and start of the run's process, and the server's time."""


def database_name(run: str, number: int, template: bool = False) -> str:
    """Name a database of a run."""
    return f"{PREFIX}{run}_{'t' if template else ''}{number}"


def name_while_made(run: RunId, name: str) -> str:
    """Name a database for the time until its record is written.

    CREATE DATABASE cannot be in one transaction with the COMMENT that says whose it is. So the name says it: a run that
    is killed in between leaves a database that can be judged.
    """
    numbers = (_in_base_36(number) for number in (run.pid, run.start, run.renewed))
    return "_".join((name, run.system or _UNKNOWN, *numbers))


def _in_base_36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"


def run_of_database(name: str, comment: str) -> RunId | None:
    """Tell whose a database is."""
    recorded = RunId.loads(comment)
    half = _MAKING.fullmatch(name)
    found = half or _NAME.fullmatch(name)
    if recorded is not None:
        return recorded if found is not None and found[1] == recorded.id else None
    if half is None:
        return None
    pid, start, renewed = (int(text, 36) for text in half.groups()[2:])
    return RunId(half[1], "", pid, 0.0, "" if half[2] == _UNKNOWN else half[2], start, renewed)


def siblings(database: str) -> str:
    """Tell how the names of all databases of a run begin.

    Args:
        database: one of a run, or another.

    Returns:
        The beginning; '' where it is none of a run's.
    """
    found = _NAME.match(database)
    return f"{PREFIX}{found[1]}_" if found else ""


def has_run_database_name(name: str) -> bool:
    """Say whether a name begins like that of a run's database; it may be somebody else's all the same."""
    return _NAME.match(name) is not None


_DROP_LIMIT = 10.0
_END_LIMIT = 30.0
"""Seconds for backends to end that were terminated: one may be copying a large template."""
_LINGER = 5.0
"""Seconds in which the server notices that the process of a run has ended."""
_REACH_LIMIT = 20.0
"""Seconds in which a killed run's connections end, that may have been all there were."""

# One statement, whose snapshot of pg_database is older than its look at pg_stat_activity: a run that makes a database
# meanwhile is either not listed or seen alive.
_LIST = """
    SELECT d.datname, d.comment, pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())::bigint,
           ARRAY(SELECT a.application_name FROM pg_catalog.pg_stat_activity a
                 WHERE pg_catalog.starts_with(a.application_name, %(application)s))
    FROM (SELECT datname, pg_catalog.shobj_description(oid, 'pg_database') AS comment
          FROM pg_catalog.pg_database WHERE pg_catalog.pg_get_userbyid(datdba) = CURRENT_USER) d
    WHERE pg_catalog.starts_with(d.datname, %(prefix)s)
    ORDER BY d.datname
"""
_MAKERS = """
    SELECT query FROM pg_catalog.pg_stat_activity
    WHERE pg_catalog.starts_with(application_name, %(application)s) AND usename = CURRENT_USER
      AND state = 'active' AND pg_catalog.starts_with(query, 'CREATE DATABASE "')
"""
_END = """
    SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE application_name = %(application)s AND usename = CURRENT_USER AND pid <> pg_catalog.pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class RunDatabase:
    """A database that a run made, or that is called like one.

    Args:
        name: of it.
        run: as its record says, or its name while it has none; None where neither names a run.
        connected: the run is connected to the server.
        now: seconds since the epoch by the server's clock.
    """

    name: str
    run: RunId | None
    connected: bool
    now: int

    @property
    def over(self) -> bool:
        """Whether its run is known to be over."""
        return self.run is not None and not self.connected and self.run.is_over(self.now)

    @property
    def lives(self) -> bool:
        """Whether its run is known to live."""
        return self.connected or (self.run is not None and self.run.visible and not self.run.is_over(self.now))


def list_databases(conn: Connection) -> list[RunDatabase]:
    """List the databases that runs made as our role, and those of our role that are called so."""
    values = {"application": APPLICATION, "prefix": PREFIX}
    listed = []
    renewed: dict[str, int] = {}
    for name, comment, now, applications in conn.execute(_LIST, values).fetchall():
        run = run_of_database(str(name), str(comment))
        if run is None and not has_run_database_name(str(name)):
            continue
        assert isinstance(now, int)
        assert isinstance(applications, list)
        if run is not None:
            renewed[run.id] = max(run.renewed, renewed.get(run.id, 0))
        listed.append(RunDatabase(str(name), run, run is not None and APPLICATION + run.id in applications, now))
    return [
        replace(found, run=found.run.at(renewed[found.run.id])) if found.run is not None else found for found in listed
    ]


def drop_database(conn: Connection, conninfo: str, name: str, limit: float = _DROP_LIMIT) -> None:
    """Drop a database of ours with all that holds it: sessions, prepared transactions, replication slots."""
    end = time.monotonic() + limit
    while (held := _try_drop(conn, name)) is not None:
        if time.monotonic() > end:
            raise held
        with contextlib.suppress(psycopg.Error):  # the next try to drop it says what is wrong
            _release(conninfo, name)
        time.sleep(0.02)  # polled: sessions that were ended go without a word


def _try_drop(conn: Connection, name: str) -> psycopg.Error | None:
    try:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    except (psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege) as error:
        return error
    return None


def _release(conninfo: str, name: str) -> None:
    """End what FORCE does not: prepared transactions and slots, which only a session of that database may end."""
    with psycopg.connect(make_conninfo(conninfo, dbname=name), autocommit=True) as conn:
        prepared = conn.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()").fetchall()
        for (gid,) in prepared:
            conn.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
        conn.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE database = current_database() AND active"
        )
        conn.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE database = current_database() AND NOT active"
        )


def remove_run(conninfo: str, run: str) -> None:
    """Remove what a run that is over left on a server that is not ours."""
    with _reached(conninfo) as conn:
        _end_backends(conn, run)
        for found in list_databases(conn):
            if found.name.startswith(f"{PREFIX}{run}_"):
                with contextlib.suppress(psycopg.Error):  # of the others none is left for it
                    drop_database(conn, conninfo, found.name)
        in_place.remove_installed(conn, run)


def _reached(conninfo: str) -> Connection:
    """Connect; wait where a killed run still has all connections, or has made the server restart."""
    end = time.monotonic() + _REACH_LIMIT
    while True:
        try:
            return psycopg.connect(conninfo, autocommit=True)
        except psycopg.OperationalError:  # noqa: PERF203  # it tries again
            answers = pq.PGconn.ping(conninfo.encode()) in (pq.Ping.OK, pq.Ping.REJECT)
            if not answers or time.monotonic() > end:
                raise
            time.sleep(0.1)  # polled: a server does not say when it has room


def _end_backends(conn: Connection, run: str) -> None:
    """End the backends that make the databases of a run, and wait until they are gone.

    One whose client was killed goes on with what it was sent: its database would appear after all others were dropped.
    """
    end = time.monotonic() + _END_LIMIT
    while conn.execute(_END, {"application": APPLICATION + run}).fetchall() and time.monotonic() < end:
        time.sleep(0.02)  # polled: a backend goes without a word


def remove_dead_runs(conn: Connection, conninfo: str) -> tuple[list[str], list[RunDatabase]]:
    """Drop the databases of runs that are known to be over.

    A run of this system is over when its process has ended; another when it has given no sign of life for the time of
    the lease. That a run is not connected proves nothing: its connection may have been cut.
    """
    removed, left = [], []
    for found in _settled(conn):
        if not found.over:
            left += [] if found.lives else [found]
            continue
        # somebody else may be removing the same
        with contextlib.suppress(psycopg.Error):
            drop_database(conn, conninfo, found.name)
            removed.append(found.name)
    return removed, left


def describe_remaining(left: Iterable[RunDatabase]) -> list[str]:
    """Say which databases were left, and how to remove them."""
    names: dict[str, list[str]] = {}
    for found in left:
        names.setdefault(_owner(found), []).append(found.name)
    return [
        f"left alone, {owner}: {', '.join(of)}. If that is over: {drop_statements(of)}" for owner, of in names.items()
    ]


def drop_statements(names: Iterable[str], *, there: bool = True) -> str:
    """Write the statements that drop databases."""
    statement = sql.SQL("DROP DATABASE {}" if there else "DROP DATABASE IF EXISTS {}")
    return "; ".join(statement.format(sql.Identifier(name)).as_string(None) for name in names)


def _owner(found: RunDatabase) -> str:
    run = found.run
    if run is None:
        return "no record says which run made it"
    text = f"run {run.id}, process {run.pid} on {run.host or 'an unknown host'}, is not known to be over"
    if run.renewed:
        text += f" (last sign of life {max(0, found.now - run.renewed) // 60} min ago)"
    return text


def _settled(conn: Connection) -> list[RunDatabase]:
    """List our databases, once the server has noticed the end of processes that have ended."""
    end = time.monotonic() + _LINGER
    while True:
        now = clock(conn)
        making = conn.execute(_MAKERS, {"application": APPLICATION}).fetchall()
        listed = list_databases(conn)
        runs = [run_of_database(str(query).split('"')[1], "") for (query,) in making]
        runs += [found.run for found in listed if found.connected]
        lingering = [run for run in runs if run is not None and run.visible and run.is_over(now)]
        if not lingering or time.monotonic() > end:
            return listed
        time.sleep(0.02)  # polled: a backend notices the end of its client without a word
