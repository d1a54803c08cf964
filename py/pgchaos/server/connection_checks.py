"""Checks that a session is what was asked for, and advice where the server refuses a connection."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import pq, sql

from pgchaos.safe_output import one_line
from pgchaos.server.conninfo import ServerChoice, make_conninfo, read_conninfo
from pgchaos.server.settings import ServerError


def question(settings: Mapping[str, str]) -> str:
    """Ask a session what it is, in one row.

    Args:
        settings: that it was to begin with.

    Returns:
        SQL, without variables.
    """
    values = [f"pg_catalog.current_setting({sql.Literal(name).as_string(None)}, true)" for name in settings]
    return "SELECT " + ", ".join(["pg_catalog.pg_backend_pid()", *values])


def difference(settings: Mapping[str, str], row: Sequence[object], announced: int) -> str:
    """Say how a session is not as it was asked to be.

    Args:
        settings: that it was to begin with.
        row: the answer to `question`.
        announced: the id of its process, as libpq was told when it connected.

    Returns:
        What is wrong, '' where nothing is.
    """
    backend, *values = row
    if str(backend) != str(announced):
        return pooler_message(announced, backend)
    for (name, wanted), value in zip(settings.items(), values, strict=True):
        if value != wanted:
            return (
                f"a session was asked to begin with {name} = {wanted}, and began with {value or 'none'}: a connection "
                "pooler that drops startup options is between here and the server, or a login event trigger of the "
                "database sets it"
            )
    return ""


def pooler_message(announced: int, backend: object, name: str = "") -> str:
    """Word that a pooler is in the way."""
    return (
        f"a connection pooler is between here and the server ({name or 'PgBouncer, or one like it'}): the session was "
        f"announced as process {announced}, and is process {backend} of the server. pgchaos watches, cancels and ends "
        "sessions by their processes, and begins them with settings of its own: no pool mode permits that"
    )


def pooler_version(conninfo: str) -> str:
    """Ask a pooler for its name and version, in the database that PgBouncer and its like have for that."""
    try:
        with psycopg.connect(make_conninfo(conninfo, dbname="pgbouncer", options=""), autocommit=True) as console:
            result = console.pgconn.exec_(b"SHOW VERSION")
            return one_line((result.get_value(0, 0) or b"").decode("utf-8", "replace")) if result.ntuples else ""
    except psycopg.Error:
        return ""


# libpq's own words are the same in every language that it is not translated to; the server's are known in English
_NO_ROLE = re.compile(r'role "(?P<name>.+)" does not exist')
_NO_DATABASE = re.compile(r'database "(?P<name>.+)" does not exist')
_NO_SERVICE = re.compile(r'definition of service "(?P<name>.+)" not found')


def names_database(conninfo: str, environ: Mapping[str, str]) -> bool:
    """Say whether a connection string, its service or the environment names a database.

    Args:
        conninfo: as the user gave it.
        environ: the environment of this process.

    Returns:
        False where libpq would take the name of the role, as psql does.

    Raises:
        ServerError: the connection string is none.
    """
    given = read_conninfo(conninfo, "--chaos-dsn")
    if given.get("dbname") or environ.get("PGDATABASE"):
        return True
    service = given.get("service") or environ.get("PGSERVICE")
    return bool(service) and _service_names_database(str(service))


def _service_names_database(service: str) -> bool:
    # libpq finds and reads the file; it takes the name of the service from the environment only
    before = os.environ.get("PGSERVICE")
    os.environ["PGSERVICE"] = service
    try:
        return any(option.keyword == b"dbname" and option.val for option in pq.Conninfo.get_defaults())
    except Exception:  # there is no such service: the connection says so in libpq's words
        return True
    finally:
        if before is None:
            del os.environ["PGSERVICE"]
        else:
            os.environ["PGSERVICE"] = before


def connection_advice(conninfo: str, choice: ServerChoice, message: str, environ: Mapping[str, str]) -> str:
    """Say what to do where a server that the user named refuses a connection."""
    said = choice.said
    role = "user=… in --chaos-dsn" if said == "--chaos-dsn" else "PGUSER"
    database = "dbname=… in --chaos-dsn" if said == "--chaos-dsn" else "PGDATABASE"
    if found := _NO_SERVICE.search(message):
        file = environ.get("PGSERVICEFILE") or str(Path("~", ".pg_service.conf"))
        return f"write a section [{found['name']}] into {file}, or set PGSERVICEFILE to the file that has it"
    if found := _NO_ROLE.search(message):
        return f"the server runs, and has no such role: name another by {role}, or make it: createuser {found['name']}"
    if found := _NO_DATABASE.search(message):
        if not _is_named(choice.conninfo or "", environ):
            return (
                "the server runs; no database is named (by the service neither), so the role's name was taken for it:"
                f" name one by {database}, such as postgres"
            )
        name = found["name"]
        return f"the server runs, and has no such database: name another by {database}, or make it: createdb {name}"
    if pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK:
        return f"the server runs, and refuses this connection: see to the role, its password and pg_hba.conf ({role})"
    return f"start it, or take {said} away and a private server is started"


def _is_named(conninfo: str, environ: Mapping[str, str]) -> bool:
    try:
        return names_database(conninfo, environ)
    except ServerError:
        return True
