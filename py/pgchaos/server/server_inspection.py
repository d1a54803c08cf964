"""Connects to a server for the first time, and checks that it can be used."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass

import psycopg

from pgchaos.safe_output import hide
from pgchaos.server.connection_checks import (
    connection_advice,
    names_database,
    pooler_message,
    pooler_version,
    startup_options,
)
from pgchaos.server.conninfo import Connection, ServerChoice, make_conninfo, read_conninfo, with_settings
from pgchaos.server.health import ANSWERS_WITHIN, within
from pgchaos.server.in_place import disable_event_triggers
from pgchaos.server.settings import ServerError

NO_DATABASE = "--chaos-in-place needs a database that is named: set PGDATABASE, or dbname in --chaos-dsn"
OLDEST = 14
_HOST_LIMIT = 2  # seconds: libpq's minimum
_QUICK_REFUSAL = 2.0  # seconds: slower refusals are not examined, as each further connection takes as long

_NO_TIMEOUTS = {"statement_timeout": "0", "lock_timeout": "0"}  # of every server, also those that are too old

_QUESTION = """
    SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_setting('is_superuser') = 'on',
           r.rolcreatedb, r.rolname, SESSION_USER, pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid(),
           (SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database
             WHERE datname = CASE WHEN %s THEN pg_catalog.current_database() ELSE 'template0' END)
    FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER
"""


@dataclass(frozen=True, slots=True)
class ServerProperties:
    """What an inspection found out about a server."""

    conninfo: str  # completed
    version: int  # as libpq gives it: 180006
    version_text: str  # '18.6'
    superuser: bool  # our role is one
    role: str
    database: str  # that the connection string leads to
    address: str  # host and port, or the socket's folder and port
    encoding: str  # of the databases in which scenarios run
    embedded: bool  # a private server with the embedded programs
    firing_event_triggers: tuple[str, ...] = ()  # in place: those that cannot be disabled


def inspect_server(base: str, choice: ServerChoice, ours: bool, in_place: bool) -> ServerProperties:
    """Connect once; ServerError if the server cannot be used."""
    if in_place and not choice.database:
        raise ServerError(NO_DATABASE)
    conninfo = _complete(base, choice, ours)
    options = startup_options(conninfo)
    began = time.monotonic()
    try:
        # the user's time-outs are for sessions, and could end a question
        patient = with_settings(make_conninfo(conninfo, options=options), _NO_TIMEOUTS)
        with psycopg.connect(patient, autocommit=True) as conn, within(_answer_limit(conn), conn):
            row = conn.execute(_QUESTION, [in_place]).fetchone()
            info = conn.info
            if in_place and not names_database(choice.conninfo or "", os.environ):
                raise ServerError(
                    "--chaos-in-place needs a database that is named, but the service names none: add dbname to it, "
                    f"or to --chaos-dsn (libpq took {info.dbname!r}, the role's name)"
                )
            hide(info.password or "", frozenset({info.user, info.dbname, info.host}))
            assert row is not None
            version_text, superuser, createdb, role, authenticated, standby, backend, encoding = row
            _refuse_pooler(conninfo, info.backend_pid, backend)
            _refuse_other_role(str(role), str(authenticated))
            address = f"{info.host or info.hostaddr}:{info.port}"
            database, version = info.dbname, info.server_version
            firing_event_triggers = _firing_event_triggers(conn) if in_place and not standby else ()
    except psycopg.ProgrammingError:  # psycopg's message quotes the value
        raise ServerError(f"a parameter of {choice.source} has an invalid value") from None
    except psycopg.OperationalError as error:
        if ours:
            raise ServerError(f"the private server refuses the first connection: {str(error).strip()}") from None
        raise ServerError(
            f"cannot connect to the server named by {choice.source}: {str(error).strip()}\n"
            + _explain_refusal(conninfo, choice, error, time.monotonic() - began)
        ) from None
    own_options = f"{options} -c lc_messages=C".strip() if superuser else options.strip()
    result = ServerProperties(
        # include the user's startup options, which our settings would replace otherwise
        make_conninfo(conninfo, options=own_options) if own_options else conninfo,
        version,
        str(version_text).split()[0],
        bool(superuser),
        str(role),
        database,
        address,
        str(encoding),
        ours and choice.bindir is None,
        firing_event_triggers,
    )
    _check(result, bool(createdb or superuser), bool(standby), in_place)
    return result


def _explain_refusal(conninfo: str, choice: ServerChoice, error: psycopg.OperationalError, took: float) -> str:
    """Find out why the server refused, and advise what to do."""
    if isinstance(error, psycopg.errors.ConnectionTimeout) or took > _QUICK_REFUSAL:
        return (
            f"no answer within {took:.0f} s: check that this is the address of a PostgreSQL server, that the server is "
            "not stopped or overloaded, and that no firewall is in between; connect_timeout=… waits longer"
        )
    _refuse_pooler_without_options(conninfo)
    return connection_advice(conninfo, choice, str(error), os.environ)


def _answer_limit(conn: Connection) -> float:
    """Return the seconds that the server may take for the inspection: connect_timeout."""
    value = next((one.val for one in conn.pgconn.info if one.keyword == b"connect_timeout"), None) or b""
    return float(value) if value.isdigit() and int(value) else ANSWERS_WITHIN


def _firing_event_triggers(conn: Connection) -> tuple[str, ...]:
    with conn.transaction(force_rollback=True):
        return disable_event_triggers(conn)


def _refuse_pooler(conninfo: str, announced: int, backend: object) -> None:
    if backend != announced:
        raise ServerError(
            f"{pooler_message(announced, backend, pooler_version(conninfo))}. Use the server's own host and port"
        )


def _refuse_other_role(role: str, authenticated: str) -> None:
    """Refuse a role whose sessions begin as another one: that one may not see or end them."""
    if role != authenticated:
        raise ServerError(
            f"sessions of role {authenticated} begin as role {role} (ALTER ROLE or ALTER DATABASE … SET role), which "
            f"may not see and end them: connect as {role}, or with PGOPTIONS='-c role=none'"
        )


def _refuse_pooler_without_options(conninfo: str) -> None:
    """Find out whether a pooler refused the connection: PgBouncer takes no startup options."""
    bare = make_conninfo(conninfo, options="")
    with (
        contextlib.suppress(psycopg.Error),  # then it was not because of the options
        psycopg.connect(bare, autocommit=True) as conn,
        within(_answer_limit(conn), conn),
    ):
        row = conn.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
        assert row is not None
        _refuse_pooler(bare, conn.info.backend_pid, row[0])


def _check(server: ServerProperties, createdb: bool, standby: bool, in_place: bool) -> None:
    if server.version < OLDEST * 10000:
        raise ServerError(
            f"the server at {server.address} is PostgreSQL {server.version_text}: pgchaos needs {OLDEST} or newer"
        )
    if standby:
        raise ServerError(f"the server at {server.address} is a read-only standby: use its primary")
    if not createdb and not in_place:
        raise ServerError(
            f"role {server.role} at {server.address} may not create databases, and scenarios run in databases of their "
            f'own: ALTER ROLE "{server.role}" CREATEDB, or run them in database {server.database} with '
            "--chaos-in-place"
        )


def _complete(base: str, choice: ServerChoice, ours: bool) -> str:
    given = read_conninfo(base)
    # overrides PGCLIENTENCODING, a service, a role and the encoding of the database
    missing = {"application_name": "pgchaos", "client_encoding": "UTF8"}
    if "connect_timeout" not in given and not os.environ.get("PGCONNECT_TIMEOUT"):
        # libpq applies it to each host
        named = given.get("hostaddr") or given.get("host") or os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST")
        hosts = str(named or "").count(",") + 1
        missing["connect_timeout"] = str(max(_HOST_LIMIT, ANSWERS_WITHIN // hosts))
    if not ours and not choice.database:
        # every server has it; a named database is kept, as pg_hba.conf may permit only that one
        missing["dbname"] = "postgres"
    return make_conninfo(base, **missing)
