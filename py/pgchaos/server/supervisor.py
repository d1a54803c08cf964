"""The process that outlives a run: when its pipe to the runner closes, it stops the server and removes what is left.

It is started by file, isolated (`python -I supervisor.py`), so that neither the working folder nor PYTHONPATH can
replace a module of the standard library. Besides it imports only pgchaos.posix, until it has to connect to a server. It
may be root, and does not trust the server's account: the server's folder belongs to root, and files in `data` and
`socket`, which belong to the account, are read without following links, and written as the account.

Requests are lines of JSON on standard input. Each response is a line on standard output with the request's id, so that
a late response is not taken for that of another request:

- `start`: create the data directory of a private server and start it; this process becomes the postmaster's parent.
- `prepare`, `run`: the same in two requests: create the data directory, start the server.
- `stop`, `crash`, `restart`, `status`: stop that server, kill it, start it again, return whether it runs.
- `start_pooler`, `stop_pooler`: start a connection pooler in a folder of its own beside the server, and end it.
- `archive`: write the data directory of that server, which was shut down, into a file.
- `watch`: drop a run's databases on a server that is not ours when the pipe closes.
- `forget`: the run has dropped them itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

# started by file, so the package is not on the path; first in it, its modules could hide those of the standard library
sys.path.insert(0, str(Path(__file__).parents[2]))
try:
    from pgchaos.posix import data_archive
    from pgchaos.posix.account import run_as
    from pgchaos.posix.disks import WAL, mount, move_wal
    from pgchaos.posix.files import lock, open_own
    from pgchaos.posix.pooler import PoolerProcess
    from pgchaos.posix.postmaster import (
        LOG,
        MARKER,
        READY_LIMIT,
        STOP_LIMIT,
        kill_processes,
        log_tail,
        open_log,
        read_pid_file,
        reap,
        remove_server,
    )
    from pgchaos.posix.processes import children, send, working_in
finally:
    del sys.path[0]

WATCH_LIMIT = 60  # seconds to clean up on a server that is not ours
LOCK_LIMIT = 10.0  # seconds for another run that checks whether this one is alive


class Gone(Exception):
    """The runner's end of the pipe is closed."""


def main() -> None:
    """Handle requests until the pipe closes, then clean up."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.chdir("/")
    adopt_orphans()
    supervisor = Supervisor()
    try:
        for line in sys.stdin.buffer:
            request = json.loads(line)
            number = request.pop("id")
            sys.stdout.write(json.dumps({**supervisor.handle(request), "id": number}) + "\n")
            sys.stdout.flush()
    except (BrokenPipeError, Gone):  # the run has ended: clean up
        pass
    finally:
        supervisor.clean()
    # not by a normal exit: it would try to write the rest of a response that has no reader
    os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of a killed postmaster's children, so that this process can wait for their end (Linux)."""
    with contextlib.suppress(OSError, AttributeError):  # other systems have no such call
        set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


class Supervisor:
    """The server and the run to clean up after, and the handlers of requests."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.lock: int | None = None
        self.server: subprocess.Popen[bytes] | None = None
        self.command: list[str] = []
        self.popen_arguments: dict[str, Any] = {}
        self.account: dict[str, Any] = {}
        self.watched: dict[str, Any] | None = None
        self.poolers: dict[str, PoolerProcess] = {}

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Handle one request."""
        try:
            response: dict[str, Any] = getattr(self, f"do_{request.pop('order')}")(**request)
        except OSError as error:
            return {"error": str(error)}
        except Gone:
            raise
        except Exception:  # a bug of pgchaos: the run reports it, and this process still cleans up
            return {"error": traceback.format_exc()}
        return response

    def do_start(
        self,
        conf: str,
        postgres: list[str],
        disks: dict[str, int],
        **data: Any,  # noqa: ANN401  as do_prepare takes it
    ) -> dict[str, Any]:
        """Create a data directory in a folder and start a server; respond when it accepts connections."""
        return self.do_prepare(**data) or self.do_run(conf, postgres, disks)

    def do_prepare(
        self, folder: str, make: list[str], archive: str, account: dict[str, Any], env: dict[str, str]
    ) -> dict[str, Any]:
        """Create a data directory in `folder`; `run` starts the server."""
        self.folder = folder
        self.lock = os.open(Path(folder, MARKER), os.O_RDWR | os.O_NOFOLLOW)
        # another run that checks whether this one is alive holds the lock for a moment (server_folder.py)
        lock(self.lock, Path(folder, MARKER), LOCK_LIMIT)
        self.account = account
        self.popen_arguments = {"cwd": folder, "env": env, "stdin": subprocess.DEVNULL, "umask": 0o077, **account}
        return self.extract(archive) if archive else self.make_data(make)

    def do_run(self, conf: str, postgres: list[str], disks: dict[str, int]) -> dict[str, Any]:
        """Start the server for the first time; respond when it accepts connections."""
        assert self.folder is not None
        data = Path(self.folder, "data")
        self.command = postgres
        # as the account: anything in a folder that it can write may be a link
        problem = run_as(self.account, lambda: data_archive.append(data / "postgresql.conf", conf))
        if problem:
            return {"error": f"the settings are not written: {problem}"}
        for name, size in disks.items():
            problem = mount(Path(self.folder, name), size, self.account)
            if not problem and name == WAL:
                problem = move_wal(data, Path(self.folder, name), self.popen_arguments)
            if problem:
                return {"error": problem, "disk": name}
        return self.do_restart()

    def make_data(self, make: list[str]) -> dict[str, Any]:
        """Make the data directory with initdb."""
        assert self.folder is not None
        path = Path(self.folder, LOG)
        with open_log(path) as log:
            process = subprocess.Popen(make, stdout=log, stderr=log, **self.popen_arguments)
        try:
            while (code := process.poll()) is None:
                wait_unless_gone(0.002)
        except Gone:
            process.kill()  # `clean` kills what it started
            raise
        return {"error": f"{Path(make[0]).name} ended with {code}", "log": log_tail(path)} if code else {}

    def extract(self, archive: str) -> dict[str, Any]:
        """Make the data directory from an archive."""
        assert self.folder is not None
        data = Path(self.folder, "data")
        try:
            file = open_own(Path(archive))
        except OSError as error:
            return {"error": str(error), "archive": True}
        try:
            problem = run_as(self.account, lambda: data_archive.extract(file, data), wait_to_read)
        finally:
            os.close(file)
        return {"error": problem, "archive": True} if problem else {}

    def do_archive(self, path: str) -> dict[str, Any]:
        """Write the data directory of the server, which was shut down, into a new file."""
        assert self.folder is not None
        data = Path(self.folder, "data")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            problem = run_as(self.account, lambda: data_archive.write(data, file), wait_to_read)
        finally:
            os.close(file)
        if problem:
            Path(path).unlink()
        return {"error": problem} if problem else {}

    def do_restart(self) -> dict[str, Any]:
        """Start the server, the first time or again; respond when it accepts connections."""
        assert self.folder is not None
        path = Path(self.folder, LOG)
        with open_log(path) as log:
            self.server = subprocess.Popen(
                self.command, stdout=log, stderr=log, start_new_session=True, **self.popen_arguments
            )
        return self.wait_until_ready(path)

    def do_stop(self, signal_name: str, within: float) -> dict[str, Any]:
        """Send the postmaster a signal, and wait for its end for `within` seconds."""
        assert self.server is not None
        if self.server.poll() is None:
            os.kill(self.server.pid, getattr(signal, signal_name))
        until = time.monotonic() + within
        while self.server.poll() is None and time.monotonic() < until:
            wait_unless_gone(0.002)
        return {"ended": self.server.poll() is not None}

    def do_status(self) -> dict[str, Any]:
        """Return whether the postmaster runs."""
        return {"running": self.server is not None and self.server.poll() is None}

    def do_crash(self) -> dict[str, Any]:
        """Kill the postmaster and all its processes, as in a power failure."""
        assert self.server is not None
        assert self.folder is not None
        data = Path(self.folder, "data")
        if self.server.poll() is None:
            # stop it first: else the other processes would report the postmaster's death to their clients
            os.kill(self.server.pid, signal.SIGSTOP)
            for process in working_in(data) or children(self.server.pid):
                if process.pid != self.server.pid:
                    send(process, signal.SIGKILL)
            self.server.kill()
            self.server.wait()
        kill_processes(data)
        # an exiting process no longer works in the data directory, but has not ended yet
        limit = time.monotonic() + STOP_LIMIT
        while reap() and time.monotonic() < limit:
            time.sleep(0.001)  # polled: waitpid has no timeout
        return {}

    def do_start_pooler(
        self, name: str, command: list[str], files: dict[str, str], socket: str, env: dict[str, str]
    ) -> dict[str, Any]:
        """Start a pooler in the new folder `name` of the server's folder; respond when it accepts connections."""
        assert self.folder is not None
        pooler = PoolerProcess(Path(self.folder, name), files, self.account)
        self.poolers[name] = pooler
        pooler.start(command, env)
        problem = pooler.wait_until_ready(socket, wait_unless_gone)
        if problem:
            self.do_stop_pooler(name)
            return {"error": problem}
        return {}

    def do_stop_pooler(self, name: str) -> dict[str, Any]:
        """End a pooler and remove its folder; respond with the end of its log."""
        pooler = self.poolers.pop(name, None)
        return {"log": pooler.end() if pooler is not None else ""}

    def wait_until_ready(self, log: Path) -> dict[str, Any]:
        """Wait for the word `ready` in postmaster.pid, as pg_ctl does."""
        assert self.server is not None
        assert self.folder is not None
        limit = time.monotonic() + READY_LIMIT
        while time.monotonic() < limit:
            if self.server.poll() is not None:
                return {"error": f"postgres ended with {self.server.returncode}", "log": log_tail(log)}
            lines = read_pid_file(self.folder)
            # the file may be that of a postmaster that was killed
            if len(lines) >= 8 and lines[7].strip() == "ready" and lines[0].strip() == str(self.server.pid):
                return {"pid": self.server.pid}
            wait_unless_gone(0.003)
        return {"error": f"postgres was not ready after {READY_LIMIT:g} s", "log": log_tail(log)}

    def do_watch(self, **watched: object) -> dict[str, Any]:
        """Clean up after a run on a server that is not ours, when the pipe closes."""
        self.watched = watched
        return {}

    def do_forget(self) -> dict[str, Any]:
        """Do not clean up: the run has done it."""
        self.watched = None
        return {}

    def clean(self) -> None:
        """Stop and remove the server, and clean up after the run."""
        for pooler in self.poolers.values():
            pooler.end()
        if self.folder is not None:
            remove_server(self.folder, self.server)
        if self.watched is not None:
            signal.alarm(WATCH_LIMIT)  # its default action ends this process; no request is pending any more
            sys.path[:] = self.watched["path"]
            from pgchaos.server.databases import remove_run

            remove_run(self.watched["conninfo"], self.watched["run"])


def wait_unless_gone(seconds: float) -> None:
    """Wait for some time; raise Gone when the runner closes its end of the pipe."""
    pipe = select.poll()
    pipe.register(0, 0)  # POLLHUP is always reported
    if pipe.poll(seconds * 1000):
        raise Gone


def wait_to_read(file: int) -> None:
    """Wait until a file can be read; raise Gone when the runner closes its end of the pipe."""
    both = select.poll()
    both.register(0, 0)
    both.register(file, select.POLLIN)
    if any(ready == 0 for ready, _ in both.poll()):
        raise Gone


if __name__ == "__main__":
    main()
