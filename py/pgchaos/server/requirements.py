"""Checks whether a server has what a scenario requires; if not, why, and how to get it."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import psycopg
from psycopg import sql

from pgchaos.language.header_model import Requirement
from pgchaos.server import pgtap
from pgchaos.server.conninfo import Connection
from pgchaos.server.pgtap import offered_extension
from pgchaos.server.pooler import missing_pooler
from pgchaos.server.programs import missing_program
from pgchaos.server.server_info import ServerInfo

_BROKEN = "a control file in its extension folder is broken (SELECT * FROM pg_available_extensions names it)"

# capabilities by name: a query that returns whether the server has it, and what it needs
CAPABILITIES = {
    "injection_points": (
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'injection_points')",
        "a server built with --enable-injection-points, and its test module installed",
    ),
    "logical_decoding": (
        "SELECT pg_catalog.current_setting('wal_level') = 'logical'",
        "wal_level = logical and a restart of the server",
    ),
    "prepared_transactions": (
        "SELECT pg_catalog.current_setting('max_prepared_transactions')::int > 0",
        "max_prepared_transactions above 0 and a restart of the server",
    ),
}

_FUNCTION = """
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_extension AS e ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid
        JOIN pg_catalog.pg_proc AS p ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
        WHERE d.deptype = 'e' AND e.extname = %s AND p.proname = %s
    )
"""

_NOT_OURS = (
    "requires a private server, and this one is not: run without PGHOST and --chaos-dsn, or permit harm to this one "
    "with --chaos-allow-destructive {database}"
)


_NO_POOLER = "`pooler` puts PgBouncer before a private server, and this one is not: run without PGHOST and --chaos-dsn"


class Requirements:
    """Requirements that were checked on a server, each of them once. Thread-safe."""

    def __init__(self, server: ServerInfo) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._missing: dict[Requirement, str] = {}

    def missing(self, requirement: Requirement) -> str:
        """Explain why a requirement is not met and how to meet it, '' if it is met; ServerError without an answer."""
        with self._lock:
            if requirement not in self._missing:
                self._missing[requirement] = self._check(requirement)
            return self._missing[requirement]

    def _check(self, requirement: Requirement) -> str:
        server = self._server
        if requirement.kind == "server":
            if satisfies(server.version_text, requirement.operator, requirement.version):
                return ""
            return (
                f"requires server {requirement.operator} {requirement.version}, and this is {server.version_text}: "
                "set PG_BINDIR to the programs of another version"
            )
        if requirement.kind == "superuser":
            return "" if server.superuser else f"requires a superuser, and role {server.role} is not one"
        if requirement.kind == "pooler":
            return missing_pooler() if server.ours else _NO_POOLER
        if requirement.kind == "program":
            return missing_program(requirement)
        if requirement.kind == "own server":
            return "" if server.may_be_harmed else _NOT_OURS.format(database=server.database)
        with server.checked_connection() as conn:
            if requirement.kind == "extension":
                return missing_extension(conn, requirement, server.superuser, server.settings.pgtap)
            return missing_capability(conn, requirement)


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version such as '18.6' or '1.3.5-beta'."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Compare as many numbers as the wanted version has: 17.10 is `= 17` and `<= 17`, not `> 17`."""
    if not wanted:
        return True
    want = version_numbers(wanted)
    have = (version_numbers(version) + (0,) * len(want))[: len(want)]
    return {
        ">=": have >= want,
        ">": have > want,
        "<": have < want,
        "<=": have <= want,
    }.get(operator, have == want)


def missing_extension(
    conn: Connection, requirement: Requirement, superuser: bool, pgtap_from: Path | None = None
) -> str:
    """Explain why an extension cannot be created, '' if it can."""
    name = requirement.name
    wanted = f"{name} {requirement.operator} {requirement.version}".strip() if requirement.version else name
    offered = offered_extension(conn, name)
    if name == "pgtap" and (pgtap_from is not None or offered is None or offered.broken):
        return _missing_from_file(requirement, wanted, pgtap_from)
    if offered is None:
        return f"requires extension {wanted}, which this server does not offer: install it on the server's machine"
    version = offered.version
    if offered.broken:
        return f"requires extension {wanted}, whose control file the server cannot read: {offered.broken}"
    if not version and requirement.version:
        return f"requires extension {wanted}, but the version that this server offers is unknown: {_BROKEN}"
    if not satisfies(version, requirement.operator, requirement.version) and version:
        default = f"this server's default version is {version}"
        return f"requires extension {wanted}, and {default}: install the required version as the default there"
    if offered.restricted and not superuser:
        return f"requires extension {name}, which only a superuser can create: use such a role, or a private server"
    return _missing_function(conn, requirement) if requirement.function else ""


def _missing_function(conn: Connection, requirement: Requirement) -> str:
    """Explain that an extension has no such function, '' if it has; the extension is created and rolled back for it."""
    create = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(sql.Identifier(requirement.name))
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL client_min_messages = 'error'")
            conn.execute(create)
            row = conn.execute(_FUNCTION, [requirement.name, requirement.function]).fetchone()
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return ""  # the scenario reports why it cannot be created
    if row and row[0]:
        return ""
    return (
        f"requires extension {requirement.name} with {requirement.function}(), and what this server offers has no such "
        "function: install a version that has it"
    )


def _missing_from_file(requirement: Requirement, wanted: str, pgtap_from: Path | None) -> str:
    """Explain why pgTAP from a file does not have the required version, '' if it has."""
    file, version = pgtap.find_file(pgtap_from), pgtap.file_version(pgtap_from)
    wanted = f"requires extension {wanted}"
    if not requirement.version or (version and satisfies(version, requirement.operator, requirement.version)):
        return ""
    if version is None:
        return f"{wanted}, and the name of {file} contains no version: rename it to pgtap--X.Y.Z.sql"
    return f"{wanted}, and {file} is pgTAP {version}: name the file of the required version with --chaos-pgtap-sql"


def missing_capability(conn: Connection, requirement: Requirement) -> str:
    """Explain why the server does not have a capability, '' if it has."""
    name = requirement.name.replace("-", "_")
    if name not in CAPABILITIES:
        return f"requires capability {requirement.name}, which is unknown; known are {', '.join(CAPABILITIES)}"
    query, needs = CAPABILITIES[name]
    try:
        row = conn.execute(query.encode()).fetchone()
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        # a broken control file breaks the list of extensions
        return f"requires capability {requirement.name}, and the query for it fails: {error}".rstrip()
    return "" if row and row[0] else f"requires capability {requirement.name}: it needs {needs}"
