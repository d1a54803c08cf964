"""The first look at a server: who we are there, and whether it will do."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass

import psycopg

from pgchaos.safe_output import hide
from pgchaos.server.answering import ANSWERS_WITHIN, within
from pgchaos.server.connection_checks import connection_advice, names_database, pooler_message, pooler_version
from pgchaos.server.conninfo import Connection, ServerChoice, make_conninfo, read_conninfo
from pgchaos.server.in_place import disable_event_triggers
from pgchaos.server.settings import ServerError

OLDEST = 14
_LEAST_A_HOST = 2
"""Seconds: libpq takes no less."""
_SOON = 2.0
"""Seconds: a refusal that took longer is not looked into, for each further connection would take as long."""

_QUESTION = """
    SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_setting('is_superuser') = 'on',
           r.rolcreatedb, r.rolname, pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid()
    FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER
"""
_FREE = """
    SELECT least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0)
            - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
        (SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)
            - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = CURRENT_USER))
"""
_MOST = """
    SELECT current_setting('max_connections')::int
        - CASE WHEN current_setting('is_superuser') = 'on' THEN 0
               ELSE current_setting('superuser_reserved_connections')::int
                    + coalesce(current_setting('reserved_connections', true)::int, 0) END
"""


@dataclass(frozen=True, slots=True)
class ServerProperties:
    """What is known of a server.

    Args:
        conninfo: how to connect, completed.
        version: as libpq gives it, 180006.
        shown: the same for people, '18.6'.
        superuser: our role is one.
        role: its name.
        database: where we are.
        place: host and port, or the socket's folder and port.
        embedded: a private server from the embedded binaries.
        options: the user says how sessions begin: by PGOPTIONS, a service, or the connection string.
        loud: event triggers of the database to work in that fire for what is brought in and taken out.
    """

    conninfo: str
    version: int
    shown: str
    superuser: bool
    role: str
    database: str
    place: str
    embedded: bool
    options: bool
    loud: tuple[str, ...] = ()


def inspect_server(base: str, choice: ServerChoice, ours: bool, in_place: bool) -> ServerProperties:
    """Connect once and look."""
    if in_place and not choice.database:
        raise ServerError("--chaos-in-place needs a database that is named: PGDATABASE, or dbname in --chaos-dsn")
    conninfo = _complete(base, choice, ours)
    began = time.monotonic()
    try:
        with psycopg.connect(conninfo, autocommit=True) as conn, within(_patience(conn), conn):
            row = conn.execute(_QUESTION).fetchone()
            info = conn.info
            if in_place and not names_database(choice.conninfo or "", os.environ):
                raise ServerError(
                    "--chaos-in-place needs a database that is named, and the service names none: write dbname into it,"
                    f" or into --chaos-dsn (libpq took {info.dbname!r}, the role's name)"
                )
            hide(info.password or "", frozenset({info.user, info.dbname, info.host}))
            assert row is not None
            shown, superuser, createdb, role, standby, backend = row
            _refuse_pooler(conninfo, info.backend_pid, backend)
            place = f"{info.host or info.hostaddr}:{info.port}"
            database, version = info.dbname, info.server_version
            options = _options(conn)
            loud = _loud(conn) if in_place and not standby else ()
    except psycopg.ProgrammingError:  # psycopg's own look at a parameter, whose value it quotes
        raise ServerError(f"a parameter of {choice.said} has a value that cannot be") from None
    except psycopg.OperationalError as error:
        if ours:
            raise ServerError(f"the private server refuses the first connection: {str(error).strip()}") from None
        raise ServerError(
            f"cannot connect to the server named by {choice.said}: {str(error).strip()}\n"
            + _advice(conninfo, choice, error, time.monotonic() - began)
        ) from None
    result = ServerProperties(
        _with_options(conninfo, f"{options} -c lc_messages=C" if superuser else options),
        version,
        str(shown).split()[0],
        bool(superuser),
        str(role),
        database,
        place,
        ours and choice.bindir is None,
        bool(options),
        loud,
    )
    _check(result, bool(createdb or superuser), bool(standby), in_place)
    return result


def _advice(conninfo: str, choice: ServerChoice, error: psycopg.OperationalError, took: float) -> str:
    """Look into a refusal, and say what to do."""
    if isinstance(error, psycopg.errors.ConnectionTimeout) or took > _SOON:
        return (
            f"no answer came within {took:.0f} s: see whether that is the address of a PostgreSQL server, whether it is"
            " stopped or overloaded, and whether a firewall is in between; connect_timeout=… waits longer"
        )
    _look_without_options(conninfo)
    return connection_advice(conninfo, choice, str(error), os.environ)


def _patience(conn: Connection) -> float:
    """Say how many seconds the server may take for the first look: as many as to connect."""
    value = next((one.val for one in conn.pgconn.info if one.keyword == b"connect_timeout"), None) or b""
    return float(value) if value.isdigit() and int(value) else ANSWERS_WITHIN


def _loud(conn: Connection) -> tuple[str, ...]:
    with conn.transaction(force_rollback=True):
        return disable_event_triggers(conn)


def _refuse_pooler(conninfo: str, announced: int, backend: object) -> None:
    if backend != announced:
        raise ServerError(
            f"{pooler_message(announced, backend, pooler_version(conninfo))}. Name the server's own host and port"
        )


def _look_without_options(conninfo: str) -> None:
    """Look whether it was a pooler that refused a connection: PgBouncer takes no startup options."""
    bare = make_conninfo(conninfo, options="")
    with (
        contextlib.suppress(psycopg.Error),
        psycopg.connect(bare, autocommit=True) as conn,
        within(_patience(conn), conn),
    ):
        row = conn.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
        assert row is not None
        _refuse_pooler(bare, conn.info.backend_pid, row[0])


def free_slots(conn: Connection) -> int:
    """Count the connections that may still be made.

    Args:
        conn: to the server, as the role that will make them.

    Returns:
        Free slots that are reserved for nobody, and no more than the role's own limit.
    """
    row = conn.execute(_FREE).fetchone()
    assert row is not None
    return max(0, int(str(row[0])))


def most_connections(conn: Connection) -> int:
    """Count the connections that the server takes while nobody else is there.

    Args:
        conn: to the server, as the role that will make them.

    Returns:
        How many; not those that are reserved for others.
    """
    row = conn.execute(_MOST).fetchone()
    assert row is not None
    return int(str(row[0]))


def _check(server: ServerProperties, createdb: bool, standby: bool, in_place: bool) -> None:
    if server.version < OLDEST * 10000:
        raise ServerError(f"the server at {server.place} is PostgreSQL {server.shown}; {OLDEST} or newer is needed")
    if standby:
        raise ServerError(f"the server at {server.place} is a standby: nothing can be written; name its primary")
    if not createdb and not in_place:
        raise ServerError(
            f"role {server.role} at {server.place} may not create databases, and scenarios run only in databases made "
            f'for them: ALTER ROLE "{server.role}" CREATEDB, or let them work in database {server.database} with '
            "--chaos-in-place"
        )


def _complete(base: str, choice: ServerChoice, ours: bool) -> str:
    given = read_conninfo(base)
    # whatever PGCLIENTENCODING, a service, a role or the database's own encoding says
    missing = {"application_name": "pgchaos", "client_encoding": "UTF8"}
    if "connect_timeout" not in given and not os.environ.get("PGCONNECT_TIMEOUT"):
        # libpq counts it anew for each host
        named = given.get("hostaddr") or given.get("host") or os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST")
        hosts = str(named or "").count(",") + 1
        missing["connect_timeout"] = str(max(_LEAST_A_HOST, ANSWERS_WITHIN // hosts))
    if not ours and not choice.database:
        # pg_hba.conf may permit the named database only; where none is named, the one that every server has
        missing["dbname"] = "postgres"
    return make_conninfo(base, **missing)


def _options(conn: Connection) -> str:
    """Tell how the user wants sessions to begin, wherever libpq has it from."""
    values = {one.keyword: one.val for one in conn.pgconn.info}
    return (values.get(b"options") or b"").decode()


def _with_options(conninfo: str, options: str) -> str:
    """Write down how sessions begin, so that settings of ours are added to it. Only a superuser sets lc_messages."""
    return make_conninfo(conninfo, options=options.strip()) if options.strip() else conninfo
