"""A private server in a temporary folder, with a Unix socket; it is removed at the end of the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal

from pgchaos.posix.disks import Ballast
from pgchaos.posix.postmaster import LOG, READY_LIMIT, log_tail
from pgchaos.server import binaries
from pgchaos.server.conninfo import private_parameters
from pgchaos.server.server_folder import DATA, SOCKET, make_folder
from pgchaos.server.server_log import join_refusals, lines_about
from pgchaos.server.settings import NoDisk, ServerError, nothing
from pgchaos.server.starts import Starts
from pgchaos.server.supervisor_client import SupervisorClient

MOST_CONNECTIONS = 200
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "fsync": "off",
    "shared_buffers": "32MB",  # the server searches all of it for each TRUNCATE and DROP
    "max_wal_size": "512MB",  # it may have to fit into memory
    "lc_messages": "C",
    "max_connections": str(MOST_CONNECTIONS),
    "max_prepared_transactions": "20",
    # in the data directory, so that it is removed with the folder even if the server was killed
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "%m [%p] %d/%a ",
}

# defaults for connections by dblink and postgres_fdw, as pg_regress sets them
_HOME = {"PGPORT": "5432", "PGUSER": "postgres"}

# the signals of the shutdown modes (PostgreSQL docs, "Shutting Down the Server")
_SHUTDOWN_SIGNALS = {"smart": "SIGTERM", "fast": "SIGINT", "immediate": "SIGQUIT"}
_STOPPED_WITHIN = 60.0
_START_LIMIT = READY_LIMIT + 30.0  # seconds to start the server, including initdb
# seconds for short requests; on a busy machine, killing all processes of a server takes some time
_ORDER_LIMIT = 30.0


_LOG_READ = 200_000  # bytes at the end of the log that are read
_LOG_LINES = 60  # lines that are returned


class ArchiveError(ServerError):
    """A data directory cannot be made from its archive."""


class PrivateServer:
    """A server that this run started.

    Args:
        folder: its temporary folder, with folders for sockets and data, and its log.
        bindir: its programs, as the user named them.
        supervisor: the client of its supervisor.
        pid: the postmaster's process.
        starts: of the run.
        programs: the folder that the programs run from: a copy if the server's account cannot read `bindir`.
        prepared: its data directory comes from an archive.
    """

    def __init__(
        self,
        folder: Path,
        bindir: Path,
        supervisor: SupervisorClient,
        pid: int,
        starts: Starts,
        programs: Path | None = None,
        *,
        prepared: bool = False,
    ) -> None:
        self.prepared = prepared
        self.folder = folder
        self.bindir = bindir
        self.programs = programs or bindir
        self.pid = pid
        self._supervisor, self._starts = supervisor, starts
        self._ballast = Ballast()

    def stop(self, mode: Literal["smart", "fast", "immediate"], limit: float = _STOPPED_WITHIN) -> bool:
        """Shut the server down.

        Args:
            mode: as in pg_ctl.
            limit: seconds to wait for its end.

        Returns:
            Whether it has ended.

        Raises:
            ServerError: the supervisor is gone.
        """
        return bool(self._request("stop", limit + 15, signal_name=_SHUTDOWN_SIGNALS[mode], within=limit)["ended"])

    @property
    def supervisor(self) -> int:
        """The supervisor's process."""
        return self._supervisor.pid

    @property
    def running(self) -> bool:
        """Whether the postmaster runs."""
        return bool(self._request("status")["running"])

    def crash(self) -> None:
        """Kill the postmaster and all its processes, as in a power failure.

        Raises:
            ServerError: the supervisor is gone.
        """
        self._request("crash")

    def start(self) -> None:
        """Start it again after it has ended.

        Raises:
            ServerError: it does not start; the message contains the end of its log.
        """
        answer = self._supervisor.request("restart", _START_LIMIT)
        if "error" in answer:
            raise ServerError(f"the server does not start again: {answer['error']}\n{answer.get('log', '')}".rstrip())
        self.pid = int(answer["pid"])

    def start_pooler(self, name: str, command: list[str], files: Mapping[str, str], socket: str) -> None:
        """Start a connection pooler beside this server, as the server's account.

        Args:
            name: of its new folder in the server's folder.
            command: the program and its arguments.
            files: of that folder, by name.
            socket: the name of the socket that it makes there.

        Raises:
            ServerError: it does not start; the message has the end of its log.
        """
        env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        self._request("start_pooler", name=name, command=command, files=dict(files), socket=socket, env=env)

    def stop_pooler(self, name: str) -> str:
        """End a pooler, remove its folder, and return the end of its log; may be called twice."""
        return str(self._request("stop_pooler", name=name)["log"])

    def archive(self, path: Path) -> None:
        """Write the data directory of this server, which was stopped, into a new file.

        Args:
            path: of the file, in a folder that only root and this user can write to.

        Raises:
            ServerError: it cannot be written.
        """
        self._request("archive", path=str(path))

    def _request(self, order: str, limit: float = _ORDER_LIMIT, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401  as they are sent in JSON
        answer = self._supervisor.request(order, limit, **arguments)
        if "error" in answer:
            raise ServerError(f"the supervisor of the server could not do `{order}`: {answer['error']}")
        return answer

    @property
    def log(self) -> Path:
        """The server's log, which is removed with the server."""
        return self.folder / LOG

    def last_lines(self, database: str) -> list[str]:
        """Return the last lines of the log; repeated refusals of connections to a database are joined into one line."""
        return join_refusals(database, log_tail(self.log, _LOG_READ).splitlines())[-_LOG_LINES:]

    def lines_about(self, database: str) -> list[str]:
        """Return the last lines of the log that sessions in a database caused."""
        return lines_about(database, log_tail(self.log, _LOG_READ))[-_LOG_LINES:]

    @property
    def parameters(self) -> dict[str, str]:
        """The libpq parameters of a connection to it; they override an environment that names another server."""
        return private_parameters(self.folder / SOCKET, self.folder / "no passwords")

    def fill(self, disk: str) -> None:
        """Fill one of its disks: the file system mounted on the folder `disk`."""
        self._ballast.fill(self.folder / disk)

    def empty(self) -> None:
        """Free the disk that `fill` filled; may be called twice."""
        self._ballast.empty()

    def close(self) -> None:
        """Stop and remove the server; may be called twice."""
        self.empty()
        self._starts.remove(self._supervisor, self.folder)

    def __enter__(self) -> PrivateServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class UnstartedServer:
    """The folder and the supervisor of a server that is not started yet.

    Args:
        bindir: the folder of its programs, None for the embedded ones.
        archive: of its data directory; None for initdb.
        starts: of the run.

    Raises:
        ServerError: a server cannot be started here.
    """

    def __init__(self, bindir: Path | None, archive: Path | None, starts: Starts | None = None) -> None:
        self._starts = starts = starts or Starts()
        starts.check()
        self._bindir = bindir
        self.programs = binaries.embedded_bindir() if bindir is None else bindir.resolve()
        binaries.check_bindir(self.programs)
        account = binaries.server_account()
        binaries.check_account(account)
        self._archive = archive
        self._folder: Path | None = None
        self._supervisor = SupervisorClient()  # its interpreter starts while the folder is created
        try:
            env = binaries.server_environment(self.programs, os.environ, account)
            runnable = binaries.can_run(self.programs, account, env)
            folder = self._folder = make_folder(account, programs=not runnable)
            starts.folders.append(folder)
            if not runnable:
                self.programs = binaries.copy_programs(self.programs, folder)
                env = binaries.server_environment(self.programs, os.environ, account)
            self._data: dict[str, Any] = {
                "folder": str(folder),
                "make": initdb_command(self.programs, str(folder / DATA)),
                "archive": "" if archive is None else str(archive),
                "account": account.popen_arguments(),
                "env": {**env, **_HOME, "PGHOST": str(folder / SOCKET)},
            }
        except BaseException:  # Ctrl-C too: neither process nor folder remains
            self.close()
            raise

    def prepare(self) -> None:
        """Create the data directory in advance; raises what `start_private` raises."""
        answer = self._supervisor.request("prepare", _START_LIMIT, cancelled=self._starts.cancelled, **self._data)
        _check(answer, self.programs)
        self._data = {}

    def start(
        self, settings: Mapping[str, str], disks: Mapping[str, int], meanwhile: Callable[[], None] = nothing
    ) -> PrivateServer:
        """Start the server; see `start_private`. An error removes it."""
        try:
            assert self._folder is not None
            request = {
                "postgres": [str(self.programs / "postgres"), "-D", str(self._folder / DATA)],
                "conf": _conf({"unix_socket_directories": str(self._folder / SOCKET), **_SETTINGS, **settings}),
                "disks": dict(disks),
                **self._data,
            }
            order = "start" if self._data else "run"
            answer = self._supervisor.request(order, _START_LIMIT, meanwhile, self._starts.cancelled, **request)
            _check(answer, self.programs)
        except BaseException:  # Ctrl-C too: neither process nor folder remains
            self.close()
            raise
        bindir, prepared = self._bindir or self.programs, self._archive is not None
        return PrivateServer(
            self._folder, bindir, self._supervisor, int(answer["pid"]), self._starts, self.programs, prepared=prepared
        )

    def close(self) -> None:
        """Remove it; only for a server that was not started."""
        self._starts.remove(self._supervisor, self._folder)


def start_private(
    bindir: Path | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    archive: Path | None = None,
    disks: Mapping[str, int] = MappingProxyType({}),
    meanwhile: Callable[[], None] = nothing,
    starts: Starts | None = None,
) -> PrivateServer:
    """Create and start a server: with initdb, or with the data directory of an archive.

    Args:
        bindir: the folder of its programs, None for the embedded ones.
        settings: its parameters; they override ours.
        archive: of a data directory.
        disks: folders of the server that each get a small file system, with its size in bytes.
        meanwhile: called while it starts.
        starts: of the run.

    Raises:
        ArchiveError: there is no such archive, or its data directory cannot be made.
        ServerError: the server cannot be started; the message says why.
    """
    check_disks(disks)
    return UnstartedServer(bindir, archive, starts).start(settings or {}, disks, meanwhile)


def check_disks(disks: Mapping[str, int]) -> None:
    """Raise NoDisk if small file systems cannot be mounted."""
    if disks and os.geteuid() != 0:
        raise NoDisk("a disk that can be filled is a small file system, and only root can mount one")


def base_settings() -> str:
    """Return the settings of every private server, as text for postgresql.conf."""
    return _conf(_SETTINGS)


def initdb_command(programs: Path, data: str) -> list[str]:
    """Return the command that makes a data directory."""
    return [str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]


def _check(answer: dict[str, Any], programs: Path) -> None:
    """Raise the error in the supervisor's answer."""
    if "disk" in answer:
        raise NoDisk(f"no small file system for {answer['disk']}: {answer['error']}")
    if "archive" in answer:
        raise ArchiveError(f"its archive cannot be used: {answer['error']}")
    if "error" in answer:
        raise ServerError(
            f"no private server from {programs}: {answer['error']}\n{answer.get('log', '')}".rstrip()
            + "\nset PG_BINDIR to another server's programs, or PGHOST to an existing server"
        )


def _conf(settings: Mapping[str, str]) -> str:
    lines = (f"{name} = '{_quoted(value)}'\n" for name, value in settings.items())
    return "\n# pgchaos\n" + "".join(lines)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
