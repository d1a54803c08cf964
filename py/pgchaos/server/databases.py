"""The databases that runs create on a server: their names, their owners, and how they are dropped."""

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
from pgchaos.server.run_id import APPLICATION, TEST_APPLICATION, RunId, clock

PREFIX = "pgchaos_"

TEST_DATABASE = "pggit_chaos_test"  # the database of chaos tests in Python on a private server

_NAME = re.compile(r"pgchaos_([0-9a-f]{8})_t?[0-9]+")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_UNKNOWN = "0" * 12
# the name of a database that is being created: system, pid and start of the run's process, and the server's time
_CREATED_NAME = re.compile(_NAME.pattern + r"_([0-9a-f]{12})_([0-9a-z]+)_([0-9a-z]+)_([0-9a-z]+)")

_DROP_LIMIT = 10.0
_END_LIMIT = 30.0  # seconds for terminated backends to end: one may be copying a large template
_NOTICE_LIMIT = 5.0  # seconds in which the server notices that the process of a run has ended
_CONNECT_LIMIT = 20.0  # seconds in which the connections of a killed run end: it may have used all there are
# One statement reads pg_database first and pg_stat_activity later. So a run that creates a database meanwhile is either
# not listed, or listed as connected.
_LIST = """
    SELECT d.datname, d.comment, pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())::bigint,
           ARRAY(SELECT a.application_name FROM pg_catalog.pg_stat_activity a
                 WHERE pg_catalog.starts_with(a.application_name, %(application)s))
    FROM (SELECT datname, pg_catalog.shobj_description(oid, 'pg_database') AS comment
          FROM pg_catalog.pg_database WHERE pg_catalog.pg_get_userbyid(datdba) = CURRENT_USER) d
    WHERE pg_catalog.starts_with(d.datname, %(prefix)s)
    ORDER BY d.datname
"""
_CREATING = """
    SELECT query FROM pg_catalog.pg_stat_activity
    WHERE pg_catalog.starts_with(application_name, %(application)s) AND usename = CURRENT_USER
      AND state = 'active' AND pg_catalog.starts_with(query, 'CREATE DATABASE "')
"""
_END = """
    SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE application_name = ANY (%(applications)s) AND usename = CURRENT_USER AND pid <> pg_catalog.pg_backend_pid()
"""


def database_name(run: str, number: int, template: bool = False) -> str:
    """Name a database of a run."""
    return f"{PREFIX}{run}_{'t' if template else ''}{number}"


def name_while_created(run: RunId, name: str) -> str:
    """Name a database until its owner is recorded.

    CREATE DATABASE cannot be in one transaction with the COMMENT that records the owner. So the name records it: if the
    run is killed in between, another run can still find out whether the owner has ended.
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
    """Return the run that owns a database, None if neither the comment nor the name proves one."""
    recorded = RunId.loads(comment)
    unrecorded = _CREATED_NAME.fullmatch(name)
    found = unrecorded or _NAME.fullmatch(name)
    if recorded is not None:
        return recorded if found is not None and found[1] == recorded.id else None
    if unrecorded is None:
        return None
    pid, start, renewed = (int(text, 36) for text in unrecorded.groups()[2:])
    system = "" if unrecorded[2] == _UNKNOWN else unrecorded[2]
    return RunId(unrecorded[1], "", pid, system, start, renewed)


def siblings(database: str) -> str:
    """Return the prefix of all databases of the run that owns `database`; '' for a database of no run."""
    found = _NAME.match(database)
    return f"{PREFIX}{found[1]}_" if found else ""


def has_run_database_name(name: str) -> bool:
    """Return whether a name begins like that of a run's database; that does not prove that a run owns it."""
    return _NAME.match(name) is not None


@dataclass(frozen=True, slots=True)
class RunDatabase:
    """A database of a run, or with such a name."""

    name: str
    run: RunId | None  # from its comment or its name; None if neither proves a run
    connected: bool  # the run is connected to the server
    now: int  # seconds since the epoch by the server's clock

    @property
    def is_over(self) -> bool:
        """Whether its run is known to be over."""
        return self.run is not None and not self.connected and self.run.is_over(self.now)

    @property
    def is_live(self) -> bool:
        """Whether its run is known to live."""
        return self.connected or (self.run is not None and self.run.is_local and not self.run.is_over(self.now))


def list_databases(conn: Connection) -> list[RunDatabase]:
    """List the databases of our role that runs own, or that have such a name."""
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


def drop_database(conn: Connection, conninfo: str, name: str) -> None:
    """Drop a database, and end what uses it: sessions, prepared transactions, replication slots."""
    end = time.monotonic() + _DROP_LIMIT
    while (refusal := _drop_once(conn, name)) is not None:
        if time.monotonic() > end:
            raise refusal
        with contextlib.suppress(psycopg.Error):  # the next DROP DATABASE shows what is wrong
            _release(conninfo, name)
        time.sleep(0.02)  # polled: the end of a session is not reported


def _drop_once(conn: Connection, name: str) -> psycopg.Error | None:
    try:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    except (psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege) as error:
        return error
    return None


def _release(conninfo: str, name: str) -> None:
    """End what FORCE does not: prepared transactions and slots, which only a session in that database can end."""
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
    """Remove what a run left on a server that is not ours."""
    with _connect(conninfo) as conn:
        _end_backends(conn, run)
        for found in list_databases(conn):
            if found.name.startswith(f"{PREFIX}{run}_"):
                with contextlib.suppress(psycopg.Error):  # drop the remaining ones all the same
                    drop_database(conn, conninfo, found.name)
        in_place.remove_installed(conn, run)
        in_place.remove_test_schemas(conn, run)


def _connect(conninfo: str) -> Connection:
    """Connect; retry while a killed run uses all connections, or the server restarts because of it."""
    end = time.monotonic() + _CONNECT_LIMIT
    while True:
        try:
            return psycopg.connect(conninfo, autocommit=True)
        except psycopg.OperationalError:  # noqa: PERF203  # it tries again
            answers = pq.PGconn.ping(conninfo.encode()) in (pq.Ping.OK, pq.Ping.REJECT)
            if not answers or time.monotonic() > end:
                raise
            time.sleep(0.1)  # polled: a free connection is not reported


def _end_backends(conn: Connection, run: str) -> None:
    """Terminate the backends that create databases of a run, or run its tests, and wait for their end.

    A backend whose client was killed still completes its statement: its database would appear after the others were
    dropped.
    """
    end = time.monotonic() + _END_LIMIT
    applications = {"applications": [APPLICATION + run, TEST_APPLICATION + run]}
    while conn.execute(_END, applications).fetchall() and time.monotonic() < end:
        time.sleep(0.02)  # polled: the end of a backend is not reported


def remove_dead_runs(conn: Connection, conninfo: str) -> tuple[list[str], list[RunDatabase]]:
    """Drop the databases of runs that are known to be over; return their names, and the databases in doubt.

    A run of this system is over when its process has ended, another run when its lease has expired. A run that is not
    connected may still live: its connection may have been cut.
    """
    removed, uncertain = [], []
    for found in _list_settled(conn):
        if not found.is_over:
            uncertain += [] if found.is_live else [found]
            continue
        # another run may be dropping the same
        with contextlib.suppress(psycopg.Error):
            drop_database(conn, conninfo, found.name)
            removed.append(found.name)
    return removed, uncertain


def describe_remaining(left: Iterable[RunDatabase]) -> list[str]:
    """Write which databases were not dropped, and how to drop them, a line for each owner."""
    names: dict[str, list[str]] = {}
    for found in left:
        names.setdefault(_describe_owner(found), []).append(found.name)
    return [
        f"not dropped, {owner}: {', '.join(owned)}. If that run is over: {drop_statements(owned)}"
        for owner, owned in names.items()
    ]


def drop_statements(names: Iterable[str], *, if_exists: bool = False) -> str:
    """Write the statements that drop databases."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {}" if if_exists else "DROP DATABASE {}")
    return "; ".join(statement.format(sql.Identifier(name)).as_string(None) for name in names)


def _describe_owner(found: RunDatabase) -> str:
    run = found.run
    if run is None:
        return "as no run is recorded as the owner"
    text = f"as run {run.id}, process {run.pid} on {run.host or 'an unknown host'}, is not known to be over"
    if run.renewed:
        text += f" (last sign of life {max(0, found.now - run.renewed) // 60} min ago)"
    return text


def _list_settled(conn: Connection) -> list[RunDatabase]:
    """List the databases after the server has noticed the end of processes that have ended."""
    end = time.monotonic() + _NOTICE_LIMIT
    while True:
        now = clock(conn)
        creating = conn.execute(_CREATING, {"application": APPLICATION}).fetchall()
        listed = list_databases(conn)
        runs = [run_of_database(str(query).split('"')[1], "") for (query,) in creating]
        runs += [found.run for found in listed if found.connected]
        unnoticed = [run for run in runs if run is not None and run.is_local and run.is_over(now)]
        if not unnoticed or time.monotonic() > end:
            return listed
        time.sleep(0.02)  # polled: the end of a backend is not reported
