"""Private servers with a data directory that was prepared once: initdb, and a database with pgTAP and the toolkit.

The directory is cached as an archive in the user's cache folder (prepared_store.py). Its name, and a list beside it,
identify what it was made from: the programs, pgTAP, the toolkit, the time zone, and the settings. All servers from one
archive have the same system identifier; nothing here depends on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import psycopg
from psycopg import sql

from pgchaos.server import binaries, pgtap
from pgchaos.server.cache_folder import PREPARED, prepared_folder
from pgchaos.server.conninfo import Connection, make_conninfo
from pgchaos.server.prepared_store import ARCHIVE, Identity, PreparedStore, identity
from pgchaos.server.private import (
    ArchiveError,
    PrivateServer,
    UnstartedServer,
    base_settings,
    initdb_command,
    start_private,
)
from pgchaos.server.sandbox import read_toolkit, set_up_database
from pgchaos.server.settings import ServerError, nothing
from pgchaos.server.starts import Starts

DATABASE = "pgchaos_own"
"""The database with pgTAP and the toolkit in a prepared data directory."""

_KEY_LENGTH = 32
_FORMAT = 1  # of the archive and of what is in it
_LOCAL_TIME = Path("/etc/localtime")  # where initdb reads the time zone, unless TZ names one
_PARAMETERS = {"connect_timeout": "10", "client_encoding": "UTF8"}


class PreparedData:
    """Starts servers of one version. Thread-safe.

    Args:
        bindir: the folder of their programs, None for the embedded ones.
        pgtap_from: the file or folder to load pgTAP from, None to search for it.

    Attributes:
        note: why no data directory is cached, or ''.
        starts: of its servers.
    """

    def __init__(self, bindir: Path | None, pgtap_from: Path | None) -> None:
        self._bindir, self._pgtap_from = bindir, pgtap_from
        self._programs = bindir
        self._lock = threading.Lock()
        self._stopped: PrivateServer | None = None  # its folder has the archive
        self.note = ""
        self.starts = Starts()

    def start(
        self,
        settings: Mapping[str, str] | None = None,
        disks: Mapping[str, int] = MappingProxyType({}),
        *,
        always: bool = False,
        meanwhile: Callable[[], None] = nothing,
    ) -> PrivateServer:
        """Start a server.

        Args:
            settings: its parameters; they override ours.
            disks: as for start_private.
            always: prepare a data directory, even if it cannot be cached.
            meanwhile: called while the server starts.

        Returns:
            The server; its `prepared` says whether it has the database.

        Raises:
            ServerError: it cannot be started.
        """
        for _ in range(2):
            archive = self.archive(always=always)
            if archive is None:
                break
            failed = identity(archive)
            try:
                return self._start(settings, archive, disks, meanwhile)
            except ArchiveError as error:
                self.note = f"the prepared data directory is made anew: {error}"
                self._discard(archive, failed)
            except ServerError as error:
                if settings or self.starts.cancelled.is_set():  # they may be why
                    raise
                self.note = f"the prepared data directory is removed, because a server does not start with it: {error}"
                self._discard(archive, failed)
                break
        return self._start(settings, None, disks, meanwhile)

    def _start(
        self,
        settings: Mapping[str, str] | None = None,
        archive: Path | None = None,
        disks: Mapping[str, int] = MappingProxyType({}),
        meanwhile: Callable[[], None] = nothing,
    ) -> PrivateServer:
        return start_private(
            self._programs, settings, archive=archive, disks=disks, meanwhile=meanwhile, starts=self.starts
        )

    def begin(self) -> UnstartedServer | None:
        """Create the data directory of a server that is started later; None if it cannot be created now."""
        with contextlib.suppress(ServerError, OSError, psycopg.Error):  # the next start reports it
            archive = self.archive(always=True)
            server = UnstartedServer(self._programs, archive, self.starts)
            try:
                server.prepare()
            except BaseException:  # Ctrl-C too: nothing remains
                server.close()
                raise
            return server
        return None

    def use_programs_of(self, server: PrivateServer) -> None:
        """Start further servers with the programs of this one, which outlives them: they may be a copy."""
        self._programs = server.programs

    def archive(self, *, always: bool = False) -> Path | None:
        """Find or make the archive; None if none can be cached, and `always` is not set."""
        with self._lock:
            if self._stopped is None:
                found = self._cached()
                if found is not None or not always:
                    return found
                server, _ = self._make()
                try:
                    server.archive(server.folder / ARCHIVE)
                except BaseException:  # Ctrl-C too: no server remains
                    server.close()
                    raise
                self._stopped = server
            return self._stopped.folder / ARCHIVE

    def _cached(self) -> Path | None:
        """Find the archive in the cache, or put one there."""
        folder = None
        try:
            folder = prepared_folder(os.environ)
            if folder is None:
                return None
            store, key = PreparedStore(folder), self._key()
            found = store.find(key)
            if found is None:
                with store.locked():
                    # another run may have made it while this one waited
                    found = store.find(key) or self._publish(store, key)
        except (OSError, RuntimeError, ServerError, psycopg.Error) as error:
            where = f" in {folder}" if folder is not None else ""
            self.note = (
                f"no prepared data directory is kept{where}, so each run takes longer to start: {str(error).strip()} "
                f"({PREPARED}=/a/folder names another place, {PREPARED}=off uses none)"
            )
            return None
        return found

    def _publish(self, store: PreparedStore, key: str) -> Path:
        server, made_from = self._make()
        with server:
            return store.publish(key, server.archive, made_from)

    def _discard(self, archive: Path, failed: Identity) -> None:
        """Remove an archive that could not be used."""
        with self._lock:
            if self._stopped is not None:
                self._close()
                return
            with contextlib.suppress(OSError):  # then the next try fails too
                store = PreparedStore(archive.parents[1])
                with store.locked():
                    store.discard(archive, failed)

    def _make(self) -> tuple[PrivateServer, list[Path]]:
        """Make a data directory with initdb and the database in it, and shut its server down.

        Returns:
            The server, and the files and folders that its data directory was made from.
        """
        server = self._start()
        try:
            create_database(server, (), self._pgtap_from)
            with psycopg.connect(conninfo(server, DATABASE), autocommit=True) as conn:
                made_from = list(self._made_from(server, conn))
                _begin_wal_file(conn)
            if not server.stop("fast"):
                raise ServerError(f"the server in {server.folder}, whose data directory is to be kept, does not stop")
        except BaseException:  # Ctrl-C too: no server remains
            server.close()
            raise
        return server, made_from

    def _made_from(self, server: PrivateServer, conn: Connection) -> Iterator[Path]:
        """List what initdb and CREATE EXTENSION read."""
        query = "SELECT setting FROM pg_catalog.pg_config WHERE name = 'SHAREDIR'"
        (folder,) = conn.execute(query).fetchone() or ("",)
        share = Path(str(folder))
        if share.is_relative_to(server.folder):  # the programs were copied
            share = self._installed.parent / share.relative_to(server.programs.parent)
        extensions = share / "extension"
        yield from sorted(path for path in share.iterdir() if path.is_file())
        yield extensions
        yield from sorted(path for path in extensions.iterdir() if path.name.startswith(("pgtap", "pgchaos")))

    @property
    def _installed(self) -> Path:
        """The folder of the programs that the user named."""
        return binaries.embedded_bindir() if self._bindir is None else self._bindir.resolve()

    def _key(self) -> str:
        """Make the archive's name from what it is made from."""
        sources = [
            _FORMAT,
            os.uname().sysname,
            os.uname().machine,
            str(self._installed),
            *(identity(self._installed / name) for name in ("postgres", "initdb")),
            initdb_command(Path(), ""),
            base_settings(),
            [os.environ.get(name) for name in ("TZ", "TZDIR")],
            [str(_LOCAL_TIME.resolve()), identity(_LOCAL_TIME)],
            str(self._pgtap_from or ""),
            *map(_checksum, (read_toolkit().encode(), self._pgtap_file())),
        ]
        return _checksum(json.dumps(sources).encode())[:_KEY_LENGTH]

    def _pgtap_file(self) -> bytes:
        try:
            return pgtap.find_file(self._pgtap_from).read_bytes()
        except ServerError:
            if self._pgtap_from is not None:
                raise
            return b""  # the server may offer it as an extension

    def close(self) -> None:
        """Remove an archive that could not be cached; may be called twice."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        server, self._stopped = self._stopped, None
        if server is not None:
            server.close()


def conninfo(server: PrivateServer, database: str) -> str:
    """Return a connection string for a database of a server that we started."""
    return make_conninfo(**{**server.parameters, "dbname": database}, application_name="pgchaos", **_PARAMETERS)


def create_database(server: PrivateServer, extensions: tuple[str, ...], pgtap_from: Path | None) -> None:
    """Create the database on a server that we started, replacing an existing one."""
    name = sql.Identifier(DATABASE)
    with psycopg.connect(conninfo(server, "postgres"), autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    with psycopg.connect(conninfo(server, DATABASE), autocommit=True) as conn:
        conn.execute("SET client_min_messages = 'warning'")
        set_up_database(conn, extensions, pgtap_from)


def _begin_wal_file(conn: Connection) -> None:
    """Switch to an empty WAL file and remove the one before it: this makes the archive smaller and faster."""
    conn.execute("ALTER SYSTEM SET wal_recycle = off")
    conn.execute("SELECT pg_catalog.pg_reload_conf(), pg_catalog.pg_switch_wal()")
    conn.execute("CHECKPOINT")
    conn.execute("ALTER SYSTEM RESET wal_recycle")


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
