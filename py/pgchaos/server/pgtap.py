"""Installs pgTAP on a server: as an extension if the server offers it, else from its SQL file on this machine."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg

from pgchaos.server import binaries
from pgchaos.server.binaries import copy_environment
from pgchaos.server.conninfo import Connection
from pgchaos.server.health import ANSWERS_WITHIN, within
from pgchaos.server.settings import ServerError

_OFFERED = """
    SELECT e.default_version, v.superuser AND NOT v.trusted
    FROM pg_catalog.pg_available_extensions e
    JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
    WHERE e.name = %s
"""
_ALONE = "SELECT FROM pg_catalog.pg_extension_update_paths(%s)"
# SQLSTATEs of "could not open extension control file", and since PostgreSQL 16 of "extension is not available"
_NO_CONTROL_FILE = ("58P01", "0A000")

_FILE = re.compile(r"pgtap--(\d+(?:\.\d+)+)\.sql")
_VISIBLE = """
    SELECT to_regprocedure('plan(integer)') IS NOT NULL AND to_regprocedure('no_plan()') IS NOT NULL
       AND to_regprocedure('is(anyelement, anyelement, text)') IS NOT NULL
"""


class OfferedExtension(NamedTuple):
    """An extension that can be created on a server."""

    version: str  # the default one, '' if it is unknown
    restricted: bool = False  # only a superuser can create it
    broken: str = ""  # what is wrong with its control file, or ''


def offered_extension(conn: Connection, name: str) -> OfferedExtension | None:
    """Ask whether a server offers an extension.

    PostgreSQL lists extensions by reading all control files, and fails if one of them is broken. Then only the file of
    this extension is read.
    """
    try:
        row = conn.execute(_OFFERED, [name]).fetchone()
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return _offered_alone(conn, name)
    return None if row is None else OfferedExtension(str(row[0]), bool(row[1]))


def _offered_alone(conn: Connection, name: str) -> OfferedExtension | None:
    try:
        conn.execute(_ALONE, [name])
    except psycopg.Error as error:
        if error.sqlstate in _NO_CONTROL_FILE:
            return None
        if isinstance(error, psycopg.OperationalError) and conn.closed:
            raise
        return OfferedExtension("", broken=str(error).strip())
    return OfferedExtension("")


def install(conn: Connection, given: Path | None) -> None:
    """Install pgTAP in the first schema of the search path: as an extension if offered, else from a file."""
    if given is None and is_visible(conn):
        return
    if given is None and is_offered(conn):
        conn.execute("CREATE EXTENSION IF NOT EXISTS pgtap")
        return
    conn.execute(read_script(find_file(given)).encode())


def is_visible(conn: Connection) -> bool:
    """Return whether pgTAP is installed in the search path, as an extension or from a file."""
    return conn.execute(_VISIBLE).fetchone() == (True,)


def check_available(conninfo: str, given: Path | None) -> None:
    """Check before the first scenario that pgTAP can be installed: every database needs it.

    Args:
        conninfo: connection string of the server.
        given: the file or folder that the user named, None to search.

    Raises:
        ServerError: the server does not offer it, and there is no file.
        psycopg.Error: the server is lost.
    """
    try:
        find_file(given)
    except ServerError:
        if given is not None:
            raise
        with psycopg.connect(conninfo, autocommit=True) as conn, within(ANSWERS_WITHIN, conn):
            if offered_extension(conn, "pgtap") is None:
                raise


def is_offered(conn: Connection) -> bool:
    """Return whether the server offers pgTAP as an extension."""
    found = offered_extension(conn, "pgtap")
    return found is not None and not found.broken


def file_version(given: Path | None = None) -> str | None:
    """Return the version in the name of the file that `find_file` finds, None without one."""
    try:
        match = _FILE.fullmatch(find_file(given).name)
    except ServerError:
        return None
    return match[1] if match else None


def find_file(given: Path | None = None) -> Path:
    """Find pgTAP's SQL file: the newest one of the first folder that has one.

    Args:
        given: the file or folder that the user named, None for the usual folders.

    Raises:
        ServerError: there is none; the message lists the folders and says what to do.
    """
    if given is not None and given.is_file():
        return given
    searched = []
    for folder in (given,) if given is not None else search_folders():
        searched.append(str(folder))
        found = newest_file(folder)
        if found is not None:
            return found
    raise ServerError(
        f"pgTAP was not found: the server does not offer the extension, and there is no pgtap--X.Y.Z.sql in "
        f"{', '.join(dict.fromkeys(searched))}. Get it with `{sys.executable} -m pgchaos.server.get_pgtap`, or install "
        f"it (Debian and Ubuntu: apt-get install postgresql-NN-pgtap; Red Hat: dnf install pgtap_NN), or name its file "
        f"with --chaos-pgtap-sql"
    )


def newest_file(folder: Path) -> Path | None:
    """Find the newest pgTAP of a folder."""
    found = [(match, path) for path in folder.glob("pgtap--*.sql") if (match := _FILE.fullmatch(path.name))]
    return max(found, key=lambda pair: tuple(map(int, pair[0][1].split("."))))[1] if found else None


def read_script(path: Path) -> str:
    r"""Read pgTAP's SQL without its commands for psql, which begin with \."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"pgTAP cannot be read from {path}: {error}") from error
    return "\n".join(line for line in lines if not line.startswith("\\"))


def search_folders() -> Iterator[Path]:
    """List the usual folders of pgTAP, best first."""
    with contextlib.suppress(ServerError):  # there is no embedded server
        yield embedded_folder()
    yield environment_folder()
    pg_config = shutil.which("pg_config")
    if pg_config:
        done = binaries.run_briefly([pg_config, "--sharedir"], env=copy_environment())
        if done.returncode == 0:
            yield Path(done.stdout.strip(), "extension")
    yield from sorted(Path("/usr/share/postgresql").glob("*/extension"), reverse=True)


def embedded_folder() -> Path:
    """Return the embedded server's folder of extensions."""
    return binaries.embedded_bindir().parent / "share" / "extension"


def environment_folder() -> Path:
    """Return the folder of pgTAP in this Python's environment."""
    return Path(sys.prefix, "share", "pgtap")
