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
from typing import IO, Any

# started by file, so the package is not on the path yet; what stands there first must not hide the standard library's
sys.path.insert(0, str(Path(__file__).parents[2]))
try:
    from pgchaos.posix.disks import WAL, mount, move_wal, unmount
    from pgchaos.posix.files import read_below
    from pgchaos.posix.processes import children, look_up, send, working_in
finally:
    del sys.path[0]

MARKER = "run.json"
"""The file in a server's folder that says whose it is; locked by the supervisor as long as it lives."""

LOG = "server.log"
READY_LIMIT = 60.0
STOP_LIMIT = 2.0
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
                    return {"error": f"{Path(command[0]).name} ended with {code}", "log": tail(path)}
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
        kill_living(data)
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
                return {"error": f"postgres ended with {self.server.returncode}", "log": tail(log)}
            lines = pid_file(self.folder)
            # the file may be that of a postmaster who was killed
            if len(lines) >= 8 and lines[7].strip() == "ready" and lines[0].strip() == str(self.server.pid):
                return {"pid": self.server.pid}
            wait_for_end_of_runner(0.003)
        return {"error": f"postgres was not ready after {READY_LIMIT:g} s", "log": tail(log)}

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


def remove_server(folder: str, server: subprocess.Popen[bytes] | None = None) -> None:
    """Stop the server of a folder, whoever started it, and remove the folder."""
    data = Path(folder, "data")
    lines = pid_file(folder)
    stop_postmaster(data, lines, server)
    kill_living(data)
    if server is not None:
        kill_adopted(folder)
    unmount(folder)
    if pid_file(folder):  # it did not end by itself
        release_shared_memory(data, lines)
    import shutil  # it costs a quarter of this process's start

    for _ in range(3):  # a server that is dying may still make a file in a folder being removed
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            break


def kill_living(data: Path) -> None:
    """Kill a server's processes, and wait until they are gone."""
    limit = time.monotonic() + 10.0
    while (left := working_in(data)) and time.monotonic() < limit:
        for process in left:
            send(process, signal.SIGKILL)
        reap()
        time.sleep(0.002)  # polled: those that are not our children are waited for by nobody
    reap()


def stop_postmaster(data: Path, lines: list[str], server: subprocess.Popen[bytes] | None) -> None:
    """Immediate shutdown: nothing of a private server is worth a checkpoint."""
    if server is not None and server.poll() is not None:
        return
    # a number in a file may be another process's by now, or written there by the account: it is one of the server's
    said = lines[0].strip() if lines else ""
    pid = server.pid if server is not None else int(said) if said.isdigit() else 0
    postmaster = look_up(pid) if server is not None else {one.pid: one for one in working_in(data)}.get(pid)
    if postmaster is None or not send(postmaster, signal.SIGQUIT):
        return
    limit = time.monotonic() + STOP_LIMIT
    while time.monotonic() < limit:
        if server.poll() is not None if server is not None else look_up(pid) != postmaster:
            return
        time.sleep(0.002)  # polled: it may be a process that is not our child
    send(postmaster, signal.SIGKILL)


def kill_adopted(folder: str) -> None:
    """Kill what the server's account has started, programs of COPY among it: those whose parents died are ours now."""
    with contextlib.suppress(OSError):  # the server was never made
        user = Path(folder, "data").lstat().st_uid
        limit = time.monotonic() + STOP_LIMIT
        while left := {one for one in children(os.getpid()) if one.user == user}:
            for process in left:
                send(process, signal.SIGKILL)
            reap()
            if time.monotonic() > limit:
                return
            time.sleep(0.002)  # polled: waitpid has no limit of time


def reap() -> bool:
    """Collect the children that have ended, and say whether there are any that have not."""
    with contextlib.suppress(ChildProcessError):  # there are none any more
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def pid_file(folder: str) -> list[str]:
    """Read postmaster.pid: pid, data directory, start, port, socket folder, address, shared memory, state."""
    try:
        return read_below(Path(folder), "data", "postmaster.pid").splitlines()
    except OSError:
        return []


def release_shared_memory(data: Path, lines: list[str]) -> None:
    """Remove the System V segment that a killed postmaster leaves; its id is the second number of line 7.

    The account may have written another's: so it is removed as the account.
    """
    words = lines[6].split() if len(lines) > 6 else []
    if len(words) != 2 or not words[1].isdigit():
        return
    with contextlib.suppress(OSError):  # no such program here
        owner = data.lstat()
        if os.geteuid() and owner.st_uid == os.geteuid():
            switch: dict[str, Any] = {}
        elif owner.st_uid:
            switch = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        else:
            return
        command = ["ipcrm", "-m", words[1]]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd="/", **switch)


def open_log(path: Path) -> IO[bytes]:
    """Open the server's log to add to it, only for whoever runs this to read."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))


def tail(path: Path, size: int = 2000) -> str:
    """Read the end of a log."""
    # there may be none yet, or none that is ours to read
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - size))
        return file.read().decode(errors="replace").strip()
    return ""


if __name__ == "__main__":
    main()
