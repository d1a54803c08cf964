from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from psycopg.conninfo import make_conninfo

import pgchaos
from pgchaos.server.server_folder import parent_folders
from tests.conftest import ForeignServer
from tests.waiting import until

RUNNER = """
import os, sys
from pathlib import Path
from pgchaos.server import ServerSettings, open_server
dsn = sys.argv[1] or None
server = open_server(ServerSettings(dsn=dsn, in_place=bool(sys.argv[2:])))
lent = server.sandbox()
sandbox = lent.__enter__()
private = server.private
print(sandbox.database, private.pid if private else 0, private.folder if private else "", flush=True)
order = sys.stdin.readline().strip()
if order == "exit":
    os._exit(3)
if order == "fork":
    pid = os.fork()
    if not pid:
        sys.stdin.readline()
        os._exit(0)
    print(pid, flush=True)
    os._exit(3)
if order == "forget":
    sys.exit(0)
server.close()
"""

PACKAGES = {"PYTHONPATH": os.pathsep.join([str(Path(pgchaos.__file__).parents[1]), sysconfig.get_path("purelib")])}


def interpreter(user: str) -> str:
    """Find a Python that another user can run with our packages; ours may lie below a closed home."""
    entry = pwd.getpwnam(user)
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):  # not there, or not for that user: the next one
            done = subprocess.run(
                [python, "-c", "import psycopg, psutil, pgchaos"],
                env={**os.environ, **PACKAGES},
                cwd="/",
                user=entry.pw_uid,
                group=entry.pw_gid,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
            if done.returncode == 0:
                return python
    pytest.skip(f"no Python with our packages that user {user} may run")


def connections(server: ForeignServer, run: str) -> int:
    """Count the backends by which a run is known to be alive."""
    with server.connect() as conn:
        rows = conn.execute("SELECT FROM pg_stat_activity WHERE application_name = %s", [f"pgchaos {run}"])
        return len(rows.fetchall())


class Runner:
    """A run in a process of its own, which holds a sandbox and waits for its end."""

    def __init__(self, dsn: str = "", in_place: bool = False, user: str | None = None) -> None:
        entry = pwd.getpwnam(user) if user else None
        self.process = subprocess.Popen(
            [interpreter(user) if user else sys.executable, "-c", RUNNER, dsn, *(["in place"] if in_place else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd="/",
            env={**os.environ, **(PACKAGES if user else {})},
            user=entry.pw_uid if entry else None,
            group=entry.pw_gid if entry else None,
            extra_groups=[] if entry else None,
        )
        assert self.process.stdout is not None
        words = self.process.stdout.readline().rstrip("\n").split(" ", 2)
        if len(words) != 3:
            raise AssertionError(self.process.communicate()[1])
        self.database = words[0]
        self.postmaster = int(words[1])
        self.folder = Path(words[2])

    def say(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def receive(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill_supervisor(self) -> None:
        supervisor = self.supervisor().pid
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not alive(supervisor), "the supervisor gone, and its lock with it")

    def supervisor(self) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if "supervisor.py" in " ".join(child.cmdline()))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def shop(foreign_server: ForeignServer) -> Iterator[str]:
    """A database of the user's."""
    with foreign_server.connect() as conn:
        conn.execute("CREATE DATABASE shop")
        yield make_conninfo(foreign_server.dsn, dbname="shop")
        conn.execute("DROP DATABASE shop WITH (FORCE)")


@pytest.fixture
def start_runner() -> Iterator[Callable[..., Runner]]:
    """Start runs that are ended with the test."""
    runners: list[Runner] = []

    def start(dsn: str = "", in_place: bool = False, user: str | None = None) -> Runner:
        runners.append(Runner(dsn, in_place, user))
        return runners[-1]

    yield start
    for runner in runners:
        runner.end()


def alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def living_in(folder: Path) -> list[int]:
    """Find the processes of a private server: a removed folder's too."""
    return [
        process.pid for process in psutil.process_iter(["cwd"]) if (process.info["cwd"] or "").startswith(str(folder))
    ]


def folders_of(pid: int) -> list[Path]:
    """Find what a run left in the temporary places."""
    pattern = f"pgchaos-*-{pid}-*"
    return [path for parent in {*parent_folders(), "/dev/shm", "/tmp"} for path in Path(parent).glob(pattern)]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="switches to another user, which only root can")


async def at_once(work: Callable[[], object]) -> None:
    """Do what a fault would do in a thread."""
    work()
