"""Run as root, the account that the server runs as gains nothing: here it attacks, with the programs of COPY."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgchaos.engine.faults import actions
from pgchaos.engine.loop import run_sync
from pgchaos.posix.disks import Ballast
from pgchaos.server import PrivateServer, ServerError, binaries, start_private
from pgchaos.server.cluster import ClusterFactory
from pgchaos.server.server_folder import make_folder, remove_dead_servers
from tests.server.conftest import at_once, living_in
from tests.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="what the server's account gains by root, only root can show")

SECRETS = {
    "GITHUB_TOKEN": "ghs_secret",
    "PGPASSWORD": "pg_secret",
    "AWS_SECRET_ACCESS_KEY": "aws_secret",
    "ACTIONS_RUNTIME_TOKEN": "actions_secret",
    "DATABASE_URL": "postgres://u:url_secret@h/d",
    "npm_config__authToken": "npm_secret",
}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of root's, which the account can neither read nor write."""
    path = tmp_path / "of root"
    path.write_text("untouched")
    path.chmod(0o600)
    return path


def program(server: PrivateServer, command: str) -> list[str]:
    """Run a command as the server's account, and give the lines that it prints."""
    with psycopg.connect(make_conninfo(**server.parameters), autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS said; CREATE TABLE said (n serial, line text)")
        copy = "COPY said (line) FROM PROGRAM {} WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
        conn.execute(sql.SQL(copy).format(sql.Literal(command)))
        return [str(line) for (line,) in conn.execute("SELECT line FROM said ORDER BY n")]


def attempt(server: PrivateServer, command: str) -> None:
    """Let the account try something, whatever comes of it."""
    program(server, f"({command}) >/dev/null 2>&1; true")


def as_account(*command: str) -> subprocess.CompletedProcess[bytes]:
    who = binaries.server_account()
    return subprocess.run(command, check=False, cwd="/", user=who.uid, group=who.gid, extra_groups=[])


# links where files of ours are


@pytest.mark.parametrize("name", ["server.log", "run.json", "data/postmaster.pid", "data/postgresql.conf"])
def test_a_link_in_place_of_a_file_is_not_written_through(name: str, victim: Path) -> None:
    with start_private() as server:
        place = server.folder / name
        if name.endswith(".conf"):
            attempt(server, f"cat {place} >>{place.parent}/more.conf")
        attempt(server, f"rm -f '{place}'; ln -s '{victim}' '{place}'")
        server.crash()
        if name.endswith(".pid"):
            as_account("rm", "-f", str(place))
        with contextlib.suppress(Exception):  # a server without its settings need not start
            server.start()
    assert victim.read_text() == "untouched"
    assert not server.folder.exists()


def test_no_link_of_the_account_s_gets_into_an_archive(victim: Path, tmp_path: Path) -> None:
    with start_private() as first:
        assert first.stop("fast")
        conf = first.folder / "data" / "postgresql.conf"
        as_account("mv", str(conf), f"{conf}.was")
        as_account("ln", "-s", str(victim), str(conf))
        assert conf.is_symlink()
        with pytest.raises(ServerError, match="could not do `archive`"):
            first.archive(tmp_path / "archive")
    assert victim.read_text() == "untouched"
    assert not (tmp_path / "archive").exists()


@contextlib.contextmanager
def no_large_files() -> Iterator[None]:
    """Bound what this process writes into one file: where the link is followed, the victim is on the disk of all."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


def test_a_disk_that_is_not_mounted_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with no_large_files(), pytest.raises(OSError, match="not filled, because no file system of its own is mounted"):
        Ballast().fill(tmp_path / "disk")


def test_a_disk_that_the_system_does_not_let_us_fill_is_not_full() -> None:
    place = Path("/dev/shm")
    if not place.is_dir() or place.stat().st_dev == place.parent.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own")
    ballast = Ballast()
    filled = SimpleNamespace(fill=lambda _: ballast.fill(place))
    try:
        with no_large_files(), pytest.raises(actions.NotDelivered, match=r"the disk is not full: .*File too large"):
            run_sync(actions.fill(SimpleNamespace(server_control=filled, do=at_once), "disk"))
    finally:
        ballast.empty()


def test_a_disk_is_not_filled_through_a_link(victim: Path) -> None:
    own = ClusterFactory(None, None)
    with contextlib.closing(own), own.sandbox(disks={"disk": 8 << 20}) as sandbox:
        assert sandbox.server_control is not None
        attempt(sandbox.server_control, f"ln -s '{victim}' {sandbox.server_control.folder}/disk/pgchaos.ballast")
        with no_large_files():
            run_sync(actions.fill(SimpleNamespace(server_control=sandbox.server_control, do=at_once), "disk"))
        sandbox.server_control.empty()
    assert victim.read_text() == "untouched"


def test_a_pipe_in_place_of_the_pid_file_holds_nothing_up() -> None:
    server = start_private()
    attempt(server, f"cd {server.folder}/data; rm postmaster.pid; mkfifo postmaster.pid")
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 15
    assert not server.folder.exists()


def test_the_account_cannot_put_another_folder_in_place_of_a_disk() -> None:
    who = binaries.server_account()
    folder = make_folder(who)
    try:
        as_account("mv", str(folder / "data"), str(folder / "gone"))
        as_account("ln", "-s", "/etc", str(folder / "disk"))
        assert sorted(path.name for path in folder.iterdir()) == ["data", "run.json", "socket"]
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)


# numbers of others' processes and memory


@pytest.fixture
def bystander(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    folder = request.getfixturevalue("server").folder / "data"
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=folder)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def server() -> Iterator[PrivateServer]:
    with start_private() as made:
        yield made


def test_a_process_of_root_s_in_the_pid_file_is_not_killed(
    server: PrivateServer, bystander: subprocess.Popen[bytes]
) -> None:
    file = server.folder / "data" / "postmaster.pid"
    attempt(server, f"sed -i '1s/.*/{bystander.pid}/' {file}")
    assert file.read_text().startswith(str(bystander.pid))
    os.kill(server.supervisor, signal.SIGKILL)
    server.close()
    assert not server.folder.exists()
    assert bystander.poll() is None


def test_a_process_that_is_no_child_of_the_server_is_not_killed_for_it(
    server: PrivateServer, bystander: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(actions.TargetGone):
        run_sync(actions._kill_one(SimpleNamespace(server_control=server), bystander.pid))
    assert bystander.poll() is None


def test_shared_memory_of_root_s_in_the_pid_file_is_not_removed(server: PrivateServer) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(0, 4096, 0o600 | 0o1000)  # IPC_PRIVATE, IPC_CREAT
    try:
        file = server.folder / "data" / "postmaster.pid"
        attempt(server, f"sed -i '7s/.*/1 {segment}/' {file}")
        assert str(segment) in file.read_text().splitlines()[6]
        server.crash()
        server.close()
        assert f" {segment} " in Path("/proc/sysvipc/shm").read_text()
    finally:
        libc.shmctl(segment, 0, None)


def test_the_memory_of_a_killed_server_is_given_back(server: PrivateServer) -> None:
    (line,) = program(server, f"sed -n 7p {server.folder}/data/postmaster.pid")
    segment = line.split()[1]
    assert f" {segment} " in Path("/proc/sysvipc/shm").read_text()
    server.crash()
    server.close()
    assert f" {segment} " not in Path("/proc/sysvipc/shm").read_text()


def test_a_program_that_outlives_its_copy_is_killed_with_the_server(server: PrivateServer) -> None:
    (pid,) = program(server, "cd /; setsid sleep 1234 </dev/null >/dev/null 2>&1 & echo $!")
    until(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes(), "it is the program itself, and no shell")
    server.close()
    until(lambda: not Path(f"/proc/{pid}").exists(), "the program has ended")


# folders that only look like ours


@pytest.mark.parametrize("parent", ["/tmp", "/dev/shm"])
def test_a_folder_of_the_account_s_is_not_taken_for_a_dead_server_s(parent: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    folder = Path(parent, f"pgchaos-0-{ended.pid}-premade")
    made = as_account("sh", "-ec", f"mkdir -p {folder}/data; echo 1 >{folder}/data/postmaster.pid; chmod 777 {folder}")
    assert made.returncode == 0
    working = subprocess.Popen(["sleep", "100"], cwd=folder / "data")
    try:
        assert folder not in remove_dead_servers()
        assert (folder / "data" / "postmaster.pid").exists()
        assert working.poll() is None
    finally:
        working.kill()
        working.wait()
        subprocess.run(["rm", "-r", str(folder)], check=True)


@pytest.mark.parametrize("how", ["of the account", "for all"])
def test_no_server_is_made_in_a_folder_where_others_could_replace_it(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path("/tmp", f"pgchaos-test-{os.getpid()}-{how[:2]}")
    place.mkdir(mode=0o755)
    try:
        if how == "for all":
            place.chmod(0o777)
        else:
            os.chown(place, binaries.server_account().uid, -1)
        monkeypatch.setenv("TMPDIR", str(place))
        monkeypatch.setattr("tempfile.tempdir", None)
        folder = make_folder(binaries.server_account())
        subprocess.run(["rm", "-r", str(folder)], check=True)
        assert folder.parent == Path("/tmp")
    finally:
        place.rmdir()


# what is passed on


def test_no_secret_reaches_the_programs_of_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    file = os.open("/etc/shadow", os.O_RDONLY)
    os.set_inheritable(file, True)
    try:
        with start_private() as server:
            environment = program(server, "env")
            files = program(server, "ls -l /proc/self/fd /proc/$PPID/fd | grep -o '/.*'")
            programs = program(server, f"cat {server.folder}/data/postmaster.opts")
            supervisor = Path(f"/proc/{server.supervisor}/environ").read_text()
    finally:
        os.close(file)
    text = "\n".join([*environment, *programs, supervisor])
    for name, value in SECRETS.items():
        assert name not in text
        assert value not in text
    known = {"PATH", "TZ", "TZDIR", "LD_LIBRARY_PATH", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_", "PGLOCALEDIR"}
    known |= {"PGSYSCONFDIR", "PGDATA", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_CTYPE"}
    # the server's own address, for connections from inside that name none
    home = {f"PGHOST={server.folder / 'socket'}", "PGPORT=5432", "PGUSER=postgres"}
    assert home <= set(environment)
    assert {line.partition("=")[0] for line in set(environment) - home} <= known
    assert not [line for line in files if "shadow" in line]


def test_a_server_that_asks_for_a_password_gets_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    passwords = tmp_path / "passwords"
    passwords.write_text("*:*:*:*:secret\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    with start_private() as server:
        with psycopg.connect(make_conninfo(**server.parameters), autocommit=True) as conn:
            conn.execute("ALTER ROLE postgres PASSWORD 'secret'")
        attempt(server, f"echo 'local all all password' >{server.folder}/data/pg_hba.conf; kill -HUP $PPID")
        assert server.stop("fast")
        server.start()
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(make_conninfo(**server.parameters))


# what is removed


def test_a_link_put_in_place_of_a_folder_that_is_being_removed_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    for number in range(50):
        (kept / f"{number}").write_text("of root")
    tmp_path.chmod(0o755)
    kept.chmod(0o777)
    server = start_private()
    attempt(
        server,
        f"mkdir {server.folder}/data/swap; cd {server.folder}/data/swap; "
        "seq -f 'd%g/e' 3000 | xargs mkdir -p; seq -f 'd%g/e/f' 3000 | xargs touch",
    )
    assert program(server, f"ls -d {server.folder}/data/swap/d*/e/f | wc -l") == ["3000"]
    who = binaries.server_account()
    racer = subprocess.Popen(
        [
            sys.executable if os.access(sys.executable, os.X_OK) else "python3",
            "-c",
            "import os, sys\n"
            "top, kept = sys.argv[1:]\n"
            f"os.setgroups([]); os.setgid({who.gid}); os.setuid({who.uid})\n"
            "print('ready', flush=True)\n"
            "while os.path.isdir(top):\n"
            "    for number in range(3000):\n"
            "        try:\n"
            "            os.rename(f'{top}/d{number}', f'{top}/x{number}')\n"
            "            os.symlink(kept, f'{top}/d{number}')\n"
            "        except OSError:\n"
            "            pass\n",
            f"{server.folder}/data/swap",
            str(kept),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert racer.stdout is not None
        racer.stdout.readline()
        server.close()
    finally:
        racer.kill()
        racer.communicate()
    server.close()
    assert len(list(kept.iterdir())) == 50
    assert not server.folder.exists()
    assert living_in(server.folder) == []
