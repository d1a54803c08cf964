"""Checks that a session has the requested settings, and advice if the server refuses a connection."""

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

# only the English messages are known: in another language the advice is less specific
_NO_ROLE = re.compile(r'role "(?P<name>.+)" does not exist')
_NO_DATABASE = re.compile(r'database "(?P<name>.+)" does not exist')
_NO_ACCESS = re.compile(r"password|authentication|pg_hba\.conf")
_NO_TLS = re.compile(r"\b(SSL|TLS)\b|certificate")
_NO_HOST = re.compile(r"could not translate host name|failed to resolve host")
_NO_SERVICE = re.compile(r'definition of service "(?P<name>.+)" not found')


def settings_query(settings: Mapping[str, str]) -> str:
    """Write the query that reads these settings in a session; `settings_difference` checks its row."""
    values = [f"pg_catalog.current_setting({sql.Literal(name).as_string(None)}, true)" for name in settings]
    return "SELECT " + ", ".join(["pg_catalog.pg_backend_pid()", *values])


def settings_difference(settings: Mapping[str, str], row: Sequence[object], announced: int) -> str:
    """Check a session: a connection pooler, or a login event trigger, may have changed it.

    Args:
        settings: the settings that the session was started with.
        row: the result of `settings_query`.
        announced: the pid that libpq got when it connected.

    Returns:
        What is wrong, or ''.
    """
    backend, *values = row
    if str(backend) != str(announced):
        return pooler_message(announced, backend)
    for (name, wanted), value in zip(settings.items(), values, strict=True):
        if value != wanted:
            return (
                f"a session must start with {name} = {wanted}, but it started with {value or 'none'}: either a "
                "connection pooler drops startup options, or a login event trigger of the database sets it"
            )
    return ""


def pooler_message(announced: int, backend: object, name: str = "") -> str:
    """Explain why a server behind a connection pooler cannot be used."""
    return (
        f"a connection pooler is between pgchaos and the server ({name or 'PgBouncer, or a similar one'}): it "
        f"announced process {announced} for the session, but the server's is {backend}. pgchaos observes, cancels and "
        "terminates sessions by their processes, and gives them settings: no pool mode allows that"
    )


def pooler_version(conninfo: str) -> str:
    """Ask PgBouncer for its name and version, in the database that it has for that; '' if that fails."""
    try:
        with psycopg.connect(make_conninfo(conninfo, dbname="pgbouncer", options=""), autocommit=True) as console:
            result = console.pgconn.exec_(b"SHOW VERSION")
            return one_line((result.get_value(0, 0) or b"").decode("utf-8", "replace")) if result.ntuples else ""
    except psycopg.Error:
        return ""


def names_database(conninfo: str, environ: Mapping[str, str]) -> bool:
    """Return whether the connection string, its service or the environment names a database.

    If none does, libpq takes the name of the role, as psql does.
    """
    given = read_conninfo(conninfo, "--chaos-dsn")
    if given.get("dbname") or environ.get("PGDATABASE"):
        return True
    service = given.get("service") or environ.get("PGSERVICE")
    # without such a service, connecting reports it
    return bool(service) and _defaults(str(service)).get(b"dbname") != b""


def startup_options(conninfo: str) -> str:
    """Return the startup options that the user set: in the connection string, its service or PGOPTIONS."""
    given = read_conninfo(conninfo)
    options = given.get("options")
    service = given.get("service") or os.environ.get("PGSERVICE")
    return str(_defaults(str(service or "")).get(b"options", b"").decode() if options is None else options)


def _defaults(service: str) -> dict[bytes, bytes]:
    """Return libpq's defaults with those of a service; empty if there is no such service."""
    # libpq finds and parses the file, but takes the name of the service from the environment only
    before = os.environ.get("PGSERVICE")
    if service:
        os.environ["PGSERVICE"] = service
    try:
        return {option.keyword: option.val or b"" for option in pq.Conninfo.get_defaults()}
    except Exception:  # connecting reports it
        return {}
    finally:
        if before is None:
            os.environ.pop("PGSERVICE", None)
        else:
            os.environ["PGSERVICE"] = before


def connection_advice(conninfo: str, choice: ServerChoice, message: str, environ: Mapping[str, str]) -> str:
    """Advise what to do if a server that the user named refuses a connection with this message."""
    source = choice.source
    role = "user=… in --chaos-dsn" if source == "--chaos-dsn" else "PGUSER"
    database = "dbname=… in --chaos-dsn" if source == "--chaos-dsn" else "PGDATABASE"
    if found := _NO_SERVICE.search(message):
        file = environ.get("PGSERVICEFILE") or str(Path("~", ".pg_service.conf"))
        return f"write a section [{found['name']}] into {file}, or set PGSERVICEFILE to the file that has it"
    if found := _NO_ROLE.search(message):
        return (
            f"the server runs, but has no such role: name another with {role}, or create it: createuser {found['name']}"
        )
    # postgres, which every server has at first
    other = (
        "" if choice.database else f"; no database is named, so pgchaos connects to postgres: name one with {database}"
    )
    if found := _NO_DATABASE.search(message):
        if other:
            return f"the server runs, but has no such database{other}"
        if not _is_named(choice.conninfo or "", environ):
            return (
                "the server runs, but no database is named, nor in the service, so libpq took the name of the role: "
                f"name a database with {database}, such as postgres"
            )
        name = found["name"]
        return f"the server runs, but has no such database: name another with {database}, or create it: createdb {name}"
    state = pq.PGconn.ping(conninfo.encode())
    if state == pq.Ping.REJECT:
        return "the server is starting up, recovering or shutting down: run again when it accepts connections"
    if state == pq.Ping.OK:
        if _NO_ACCESS.search(message):
            what = f"the role ({role}), its password and pg_hba.conf"
            encrypted = ", or set sslmode=require (PGSSLMODE)" if "no encryption" in message else ""
            return f"the server runs, but refuses this connection: check {what}{encrypted}{other}"
        return "the server runs, but refuses this connection, for the reason above"
    host = "host=… and port=… in --chaos-dsn" if source == "--chaos-dsn" else "PGHOST and PGPORT"
    if _NO_TLS.search(message):
        return (
            f"no TLS connection as sslmode demands it: check the host ({host}), sslmode and sslrootcert, or PGSSLMODE "
            "and PGSSLROOTCERT, and the server's certificate"
        )
    if _NO_HOST.search(message):
        return f"no address is known for this host: check {host}, or remove {source} to use a private server"
    return f"start the server, or remove {source} to use a private server"


def _is_named(conninfo: str, environ: Mapping[str, str]) -> bool:
    try:
        return names_database(conninfo, environ)
    except ServerError:
        return True
