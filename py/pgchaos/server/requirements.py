"""Does a server have what a scenario requires? If not: why, and how to get it."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import psycopg

from pgchaos.language.header_model import Requirement
from pgchaos.server import pgtap
from pgchaos.server.conninfo import Connection
from pgchaos.server.pgtap import offered_extension
from pgchaos.server.server_info import ServerInfo

_BROKEN = "a control file in its extension folder is broken (SELECT * FROM pg_available_extensions names it)"

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
"""What a server can be asked for by name: a query that says whether it has it, and what it takes."""


_NOT_OURS = (
    "requires a server of our own, and this one is not: run without PGHOST and --chaos-dsn, or permit its harm with "
    "--chaos-allow-destructive {database}"
)


class Requirements:
    """What a server was asked for, and has or has not: each thing is looked for once. For several threads.

    Args:
        server: which is asked.
    """

    def __init__(self, server: ServerInfo) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._missing: dict[Requirement, str] = {}

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
        server = self._server
        if requirement.kind == "server":
            if satisfies(server.shown, requirement.operator, requirement.version):
                return ""
            return (
                f"requires server {requirement.operator} {requirement.version}, and this is {server.shown}: "
                "set PG_BINDIR to the programs of another version"
            )
        if requirement.kind == "superuser":
            return "" if server.superuser else f"requires a superuser, and role {server.role} is none"
        if requirement.kind == "own server":
            return "" if server.may_be_harmed else _NOT_OURS.format(database=server.database)
        with server.asking() as conn:
            if requirement.kind == "extension":
                return missing_extension(conn, requirement, server.superuser, server.settings.pgtap)
            return missing_capability(conn, requirement)


def version_numbers(version: str) -> tuple[int, ...]:
    """Read the numbers of a version.

    Args:
        version: such as '18.6' or '1.3.5-beta'.

    Returns:
        Its leading numbers.
    """
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Compare versions as far as the wanted one is written: 17.10 is `= 17` and `<= 17`, not `> 17`."""
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
    """Say why an extension cannot be had."""
    name = requirement.name
    wanted = f"{name} {requirement.operator} {requirement.version}".strip() if requirement.version else name
    offered = offered_extension(conn, name)
    if name == "pgtap" and (pgtap_from is not None or offered is None or offered.broken):
        return _missing_from_file(requirement, wanted, pgtap_from)
    if offered is None:
        return f"requires extension {wanted}, which this server does not offer: install it beside the server"
    version = offered.version
    if offered.broken:
        return f"requires extension {wanted}, whose control file the server cannot read: {offered.broken}"
    if not version and requirement.version:
        return f"requires extension {wanted}, and this server cannot say which version it offers: {_BROKEN}"
    if not satisfies(version, requirement.operator, requirement.version) and version:
        return f"requires extension {wanted}, and this server offers {version}: install that version beside the server"
    if offered.restricted and not superuser:
        return f"requires extension {name}, which only a superuser can create: run as one, or on a private server"
    return ""


def _missing_from_file(requirement: Requirement, wanted: str, pgtap_from: Path | None) -> str:
    """Say why pgTAP as it is loaded from a file is not what a scenario requires."""
    file, version = pgtap.find_file(pgtap_from), pgtap.file_version(pgtap_from)
    wanted = f"requires extension {wanted}"
    if not requirement.version or (version and satisfies(version, requirement.operator, requirement.version)):
        return ""
    if version is None:
        return f"{wanted}, and the name of {file} does not tell its version: call it pgtap--X.Y.Z.sql"
    return (
        f"{wanted}, and pgTAP {version} is loaded from {file}: name the file of such a version with --chaos-pgtap-sql"
    )


def missing_capability(conn: Connection, requirement: Requirement) -> str:
    """Say why a capability is not there."""
    name = requirement.name.replace("-", "_")
    if name not in CAPABILITIES:
        return f"requires capability {requirement.name}, which is not known; known are {', '.join(CAPABILITIES)}"
    query, way = CAPABILITIES[name]
    try:
        row = conn.execute(query.encode()).fetchone()
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        # a broken control file ends the list of extensions
        return f"requires capability {requirement.name}, and the server cannot say whether it has it: {error}".rstrip()
    return "" if row and row[0] else f"requires capability {requirement.name}: it takes {way}"
