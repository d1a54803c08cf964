"""The process that outlives a run: when its pipe to the runner closes, it stops the server and removes what is left.

It is started by file, isolated (`python -I supervisor.py`), so that neither the working folder nor PYTHONPATH can put
another module in place of the standard library's; beside that it imports pgchaos.posix alone, until it has to talk to a
server. It may be root, and the server's account is not trusted: the server's folder is root's, and what lies below
`data` and `socket` in it, which are the account's, is read without following links, and written as the account.
Orders come as lines of JSON on standard input, each is answered by a line on standard output that bears the order's id,
so that an answer that came too late is never taken for another's:

- `start`: make the data directory of a private server and start it; this process becomes the postmaster's parent.
- `stop`, `crash`, `again`, `look`: end that server, gently or not, start it once more, say whether it runs.
- `watch`: drop a run's databases on a server that is not ours when the pipe closes.
- `forget`: the run has dropped them itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
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

# started by file, so the package is not on the path yet; what stands there first must not hide the standard library's
sys.path.insert(0, str(Path(__file__).parents[2]))
try:
    from pgchaos.posix.disks import WAL, mount, move_wal
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

WATCH_LIMIT = 60


class Gone(Exception):
    """The runner's end of the pipe is closed."""


def main() -> None:
    """Obey orders until the pipe closes, then clean up."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.chdir("/")
    adopt_orphans()
    supervisor = Supervisor()
    try:
        for line in sys.stdin.buffer:
            order = json.loads(line)
            number = order.pop("id")
            sys.stdout.write(json.dumps({**supervisor.obey(order), "id": number}) + "\n")
            sys.stdout.flush()
    except (BrokenPipeError, Gone):
        pass
    finally:
        supervisor.clean()
    # a reply that nobody reads any more must not fail on the way out
    os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of a killed postmaster's children (Linux), so that their end can be waited for."""
    with contextlib.suppress(OSError, AttributeError):  # another system has no such call
        set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


class Supervisor:
    """What is watched, and how each order is obeyed."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.lock: int | None = None
        self.server: subprocess.Popen[bytes] | None = None
        self.command: list[str] = []
        self.how: dict[str, Any] = {}
        self.watched: dict[str, Any] | None = None

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do one order."""
        try:
            answer: dict[str, Any] = getattr(self, f"do_{order.pop('order')}")(**order)
        except OSError as error:
            return {"error": str(error)}
        except Gone:
            raise
        except Exception:  # a bug of ours: the run shows it, and the server is still watched
            return {"error": traceback.format_exc()}
        return answer

    def do_start(
        self,
        folder: str,
        make: list[str],
        postgres: list[str],
        conf: str,
        account: dict[str, Any],
        env: dict[str, str],
        disks: dict[str, int],
    ) -> dict[str, Any]:
        """Make a data directory in `folder` and start a server; the answer comes when it accepts connections."""
        self.folder = folder
        self.lock = os.open(Path(folder, MARKER), os.O_RDWR | os.O_NOFOLLOW)
        # who looks whether this run lives holds it for a moment (leftovers.py)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        path = Path(folder, LOG)
        self.command = postgres
        self.how = {"cwd": folder, "env": env, "stdin": subprocess.DEVNULL, "umask": 0o077, **account}
        # as the account: of what it can write, anything may be a link
        write = ["tee", "-a", str(Path(folder, "data", "postgresql.conf"))]
        with open_log(path) as log:
            for command, text in ((make, ""), (write, conf)):
                out = log if command is make else subprocess.DEVNULL
                how = {**self.how, "stdin": None, "input": text.encode()}
                code = subprocess.run(command, stdout=out, stderr=log, check=False, **how).returncode
                if code:
                    return {"error": f"{Path(command[0]).name} ended with {code}", "log": log_tail(path)}
        for name, size in disks.items():
            problem = mount(Path(folder, name), size, account)
            if not problem and name == WAL:
                problem = move_wal(Path(folder, "data"), Path(folder, name), self.how)
            if problem:
                return {"error": problem, "disk": name}
        return self.do_again()

    def do_again(self) -> dict[str, Any]:
        """Start the server, the first time or once more; the answer comes when it accepts connections."""
        assert self.folder is not None
        path = Path(self.folder, LOG)
        with open_log(path) as log:
            self.server = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True, **self.how)
        return self.wait_until_ready(path)

    def do_stop(self, sign: str, within: float) -> dict[str, Any]:
        """Send the postmaster a signal, and answer when it has ended or the time is over: `ended` says which."""
        assert self.server is not None
        if self.server.poll() is None:
            os.kill(self.server.pid, getattr(signal, sign))
        until = time.monotonic() + within
        while self.server.poll() is None and time.monotonic() < until:
            wait_for_end_of_runner(0.002)
        return {"ended": self.server.poll() is not None}

    def do_look(self) -> dict[str, Any]:
        """Say whether the postmaster runs."""
        return {"running": self.server is not None and self.server.poll() is None}

    def do_crash(self) -> dict[str, Any]:
        """Kill the postmaster and all its processes, as a power cut ends them."""
        assert self.server is not None
        assert self.folder is not None
        data = Path(self.folder, "data")
        if self.server.poll() is None:
            # stopped, it tells nobody anything, and the others die before they can tell their clients that it is dead
            os.kill(self.server.pid, signal.SIGSTOP)
            for process in working_in(data) or children(self.server.pid):
                if process.pid != self.server.pid:
                    send(process, signal.SIGKILL)
            self.server.kill()
            self.server.wait()
        kill_processes(data)
        # who is dying works nowhere any more, and is not dead yet
        limit = time.monotonic() + STOP_LIMIT
        while reap() and time.monotonic() < limit:
            time.sleep(0.001)  # polled: waitpid has no limit of time
        return {}

    def wait_until_ready(self, log: Path) -> dict[str, Any]:
        """Wait for the word `ready` in postmaster.pid, as pg_ctl does."""
        assert self.server is not None
        assert self.folder is not None
        limit = time.monotonic() + READY_LIMIT
        while time.monotonic() < limit:
            if self.server.poll() is not None:
                return {"error": f"postgres ended with {self.server.returncode}", "log": log_tail(log)}
            lines = read_pid_file(self.folder)
            # the file may be that of a postmaster who was killed
            if len(lines) >= 8 and lines[7].strip() == "ready" and lines[0].strip() == str(self.server.pid):
                return {"pid": self.server.pid}
            wait_for_end_of_runner(0.003)
        return {"error": f"postgres was not ready after {READY_LIMIT:g} s", "log": log_tail(log)}

    def do_watch(self, **watched: object) -> dict[str, Any]:
        """Remember a run on a server that is not ours."""
        self.watched = watched
        return {}

    def do_forget(self) -> dict[str, Any]:
        """The run has cleaned up after itself."""
        self.watched = None
        return {}

    def clean(self) -> None:
        """Stop and remove all that is watched."""
        if self.folder is not None:
            remove_server(self.folder, self.server)
        if self.watched is not None:
            signal.alarm(WATCH_LIMIT)  # its default action ends this process: nobody waits for an answer any more
            sys.path[:] = self.watched["path"]
            from pgchaos.server.databases import remove_run

            remove_run(self.watched["conninfo"], self.watched["run"])


def wait_for_end_of_runner(seconds: float) -> None:
    """Wait for some time, or until the runner's end of the pipe is closed."""
    pipe = select.poll()
    pipe.register(0, 0)  # POLLHUP is always reported
    if pipe.poll(seconds * 1000):
        raise Gone


if __name__ == "__main__":
    main()
