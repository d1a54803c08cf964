"""The process that outlives a run: when its pipe to the runner closes, it stops the server and removes what is left.

It is started by file, isolated (`python -I supervisor.py`), so that neither the working folder nor PYTHONPATH can put
another module in place of the standard library's; it imports nothing else until it has to talk to a server. Orders come
as lines of JSON on standard input, each is answered by a line on standard output that bears the order's id, so that an
answer that came too late is never taken for another's:

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
        """Do one order.

        Args:
            order: its name in `order`, the rest are its arguments.

        Returns:
            The answer; `error` in it says what went wrong.
        """
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
        self.lock = os.open(Path(folder, MARKER), os.O_RDWR)
        # who looks whether this run lives holds it for a moment (leftovers.py)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        path = Path(folder, LOG)
        self.command = postgres
        self.how = {"cwd": folder, "env": env, "stdin": subprocess.DEVNULL, "umask": 0o077, **account}
        with path.open("ab") as log:
            code = subprocess.run(make, stdout=log, stderr=log, check=False, **self.how).returncode
        if code:
            return {"error": f"{Path(make[0]).name} ended with {code}", "log": tail(path)}
        with Path(folder, "data", "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(conf)
        for name, size in disks.items():
            problem = mount(Path(folder, name), size, account)
            if problem:
                return {"error": problem, "disk": name}
        return self.do_again()

    def do_again(self) -> dict[str, Any]:
        """Start the server, the first time or once more; the answer comes when it accepts connections."""
        assert self.folder is not None
        path = Path(self.folder, LOG)
        with path.open("ab") as log:
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
            for pid in (living(data) or children(self.server.pid)) - {self.server.pid}:
                with contextlib.suppress(ProcessLookupError):  # gone meanwhile
                    os.kill(pid, signal.SIGKILL)
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
    """Wait for some time, or until the runner's end of the pipe is closed.

    Raises:
        Gone: it is. An order that waits to be read, sent after one that took too long, is no end.
    """
    pipe = select.poll()
    pipe.register(0, 0)  # POLLHUP is always reported
    if pipe.poll(seconds * 1000):
        raise Gone


def remove_server(folder: str, server: subprocess.Popen[bytes] | None = None) -> None:
    """Stop the server of a folder, whoever started it, and remove the folder.

    Args:
        folder: a private server's, with its data in `data`.
        server: the postmaster, where it is a child of this process.
    """
    data = Path(folder, "data")
    lines = pid_file(folder)
    stop_postmaster(data, lines, server)
    kill_living(data)
    unmount(folder)
    if pid_file(folder):  # it did not end by itself
        release_shared_memory(lines)
    import shutil  # it costs a quarter of this process's start

    for _ in range(3):  # a server that is dying may still make a file in a folder being removed
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            break


def kill_living(data: Path) -> None:
    """Kill a server's processes, and wait until they are gone."""
    limit = time.monotonic() + 10.0
    while (left := living(data)) and time.monotonic() < limit:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):  # gone meanwhile
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.002)  # polled: those that are not our children are waited for by nobody
    reap()


def mount(place: Path, size: int, account: dict[str, Any]) -> str:
    """Put a small file system in memory at a place, with all that lies there already, for its disk to be filled.

    Args:
        place: a folder, made where there is none.
        size: bytes.
        account: the user that it belongs to, as subprocess.Popen takes it.

    Returns:
        What went wrong, or ''.
    """
    kept = place.with_name(f"{place.name}.kept")
    if place.is_dir():
        place.rename(kept)
    place.mkdir(mode=0o700)
    options = f"size={size},mode=0700" + (f",uid={account['user']},gid={account['group']}" if account else "")
    command = ["mount", "-t", "tmpfs", "-o", options, "pgchaos", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0 and kept.is_dir():
        copy = ["cp", "-a", f"{kept}/.", str(place)]
        done = subprocess.run(copy, capture_output=True, text=True, check=False, **account)
        subprocess.run(["rm", "-rf", str(kept)], check=False)
    return f"{command[0]}: {done.stderr.strip()}" if done.returncode else ""


def unmount(folder: str) -> None:
    """Take away the file systems that were mounted below a folder, the last first."""
    with contextlib.suppress(OSError):  # where there is no /proc nothing was mounted
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
        for line in reversed(mounts):
            place = line.split(" ")[1]
            if place.startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", place], capture_output=True, check=False)


def stop_postmaster(data: Path, lines: list[str], server: subprocess.Popen[bytes] | None) -> None:
    """Immediate shutdown: nothing of a private server is worth a checkpoint."""
    if server is None:
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
        # a number in a file may be another process's by now: only one that lives in this data directory is signalled
        if pid not in living(data):
            return
    else:
        pid = server.pid
        if server.poll() is not None:
            return
    with contextlib.suppress(ProcessLookupError):  # gone meanwhile
        os.kill(pid, signal.SIGQUIT)
    limit = time.monotonic() + STOP_LIMIT
    while time.monotonic() < limit:
        if server is not None and server.poll() is not None:
            return
        if server is None and pid not in living(data):
            return
        time.sleep(0.002)  # polled: it may be a process that is not our child
    with contextlib.suppress(ProcessLookupError):  # gone at the last moment
        os.kill(pid, signal.SIGKILL)


def living(data: Path) -> set[int]:
    """Find the processes of a server: all of them work in its data directory (where there is /proc)."""
    found = set()
    with contextlib.suppress(OSError):  # the folder is gone, and so is who worked in it
        wanted = data.stat()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                if os.path.samestat((process / "cwd").stat(), wanted):
                    found.add(int(process.name))
    return found


def children(pid: int) -> set[int]:
    """Find the children of a process (where there is no /proc)."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    return {int(child) for child, parent in (line.split() for line in table.splitlines()) if parent == str(pid)}


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
        return Path(folder, "data", "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def release_shared_memory(lines: list[str]) -> None:
    """Remove the System V segment that a killed postmaster leaves; its id is the second number of line 7."""
    words = lines[6].split() if len(lines) > 6 else []
    if len(words) == 2 and words[1].isdigit():
        with contextlib.suppress(OSError, AttributeError):  # no such call in this libc
            ctypes.CDLL(None).shmctl(int(words[1]), 0, None)  # IPC_RMID


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
