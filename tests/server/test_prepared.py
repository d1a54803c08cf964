"""Prepared data directories: used again, made anew where something changed, and never taken from others."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest.mock import ANY

import psycopg
import pytest

from pgchaos.server import PrivateServer, ServerError, ServerSettings, binaries, open_server
from pgchaos.server.cache_folder import PREPARED
from pgchaos.server.cluster import ClusterFactory
from pgchaos.server.prepared import DATABASE, PreparedData, conninfo
from pgchaos.server.prepared_store import PreparedStore
from tests.server.conftest import Runner, folders_of, needs_root
from tests.waiting import until

OF_15 = Path("/usr/lib/postgresql/15/bin")

START = """
import os, signal, sys
from pgchaos.server.prepared import PreparedData
from pgchaos.server.prepared_store import ARCHIVE, PreparedStore
from pgchaos.server.private import PrivateServer

archive = PrivateServer.archive

def killed(server, path):
    archive(server, path)
    os.truncate(path, 100000)
    print(server.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1:] == ["killed"]:
    PrivateServer.archive = killed
data = PreparedData(None, None)
with data.start() as server:
    print(server.prepared, data.note)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of prepared data directories, which does not exist yet."""
    monkeypatch.setenv(PREPARED, str(tmp_path / "prepared"))
    return tmp_path / "prepared"


@pytest.fixture(scope="module")
def kept_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one prepared data directory, made for all tests that begin with one."""
    folder = tmp_path_factory.mktemp("kept") / "prepared"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PREPARED, str(folder))
        assert started() == (True, "")
    return folder


@pytest.fixture
def kept(folder: Path, kept_once: Path) -> Path:
    """The folder with a prepared data directory, which another process could have made before."""
    shutil.copytree(kept_once, folder)
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the servers whose data directories are made from now on."""
    make, found = PreparedData._make, []

    def noted(data: PreparedData) -> tuple[PrivateServer, list[Path]]:
        server, made_from = make(data)
        found.append(server.folder)
        return server, made_from

    monkeypatch.setattr(PreparedData, "_make", noted)
    return found


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def the_archive(folder: Path) -> Path:
    (entry,) = entries(folder)
    return entry / "archive"


def started(bindir: Path | None = None, pgtap: Path | None = None) -> tuple[bool, str]:
    """Start a server, look into its database, and tell whether it was prepared, and the note."""
    data = PreparedData(bindir, pgtap)
    with data.start() as server:
        if server.prepared:
            with psycopg.connect(conninfo(server, DATABASE)) as conn:
                row = conn.execute("SELECT pgtap_version() > 1, (SELECT count(*) FROM chaos.history)").fetchone()
            assert row == (True, 0)
        prepared = server.prepared
    assert not server.folder.exists()
    return prepared, data.note


# used again


@pytest.mark.parametrize(
    "bindir",
    [None, pytest.param(OF_15, marks=pytest.mark.skipif(not OF_15.is_dir(), reason="PostgreSQL 15 is not here"))],
)
def test_the_second_server_needs_no_initdb(folder: Path, made: list[Path], bindir: Path | None) -> None:
    assert started(bindir) == (True, "")
    assert started(bindir) == (True, "")
    assert len(made) == 1
    assert not made[0].exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}


def test_the_data_directory_belongs_to_the_server_s_account_alone(folder: Path) -> None:
    with PreparedData(None, None).start() as server:
        account = binaries.server_account()
        data = [server.folder / "data", *(server.folder / "data").rglob("*")]
        assert len(data) > 1000
        assert {path.lstat().st_uid for path in data} == {account.uid}
        assert {path.lstat().st_mode & 0o777 for path in data} == {0o600, 0o700}
    assert {path.stat().st_uid for path in folder.rglob("*")} == {os.geteuid()}


@pytest.mark.usefixtures("folder")
def test_the_first_template_of_a_run_is_the_prepared_database() -> None:
    with open_server(ServerSettings(), {}) as server, server.sandbox() as sandbox:
        assert server.private is not None
        assert server.private.prepared
        assert server.notes == []
        with server.connect() as conn:
            names = [str(name) for (name,) in conn.execute("SELECT datname FROM pg_database ORDER BY datname")]
        assert DATABASE not in names
        assert f"pgchaos_{server.run.id}_t1" in names
        with psycopg.connect(sandbox.conninfo) as conn:
            assert conn.execute("SELECT pgtap_version() > 1").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            server.connect(f"pgchaos_{server.run.id}_t1")


@pytest.mark.usefixtures("folder")
def test_a_prepared_database_that_a_scenario_dropped_is_made_anew() -> None:
    with open_server(ServerSettings(clones=0), {}) as server:
        with server.connect() as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {DATABASE}".encode())
            template = f"pgchaos_{server.run.id}_t1"
            if conn.execute("SELECT FROM pg_database WHERE datname = %s", [template]).fetchone():
                conn.execute(f"DROP DATABASE {template}".encode())
        with server.sandbox() as sandbox, psycopg.connect(sandbox.conninfo) as conn:
            assert conn.execute("SELECT pgtap_version() > 1").fetchone() == (True,)


@pytest.mark.usefixtures("folder")
def test_all_servers_of_a_scenario_s_own_come_from_one(made: list[Path]) -> None:
    own = ClusterFactory(None, None)
    for _ in range(2):
        with own.sandbox() as sandbox, psycopg.connect(sandbox.conninfo) as conn:
            assert conn.execute("SELECT current_database()").fetchone() == (DATABASE,)
    own.close()
    assert len(made) == 1


@needs_root
def test_an_ordinary_user_has_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    who = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="pgchaos-test-") as place:
        os.chown(place, who.pw_uid, who.pw_gid)
        monkeypatch.setenv(PREPARED, f"{place}/prepared")
        seen = set()
        for _ in range(2):
            Runner(user="nobody").end()
            state = the_archive(Path(place, "prepared")).stat()
            seen.add((state.st_uid, state.st_ino, state.st_mtime_ns))
        assert len(seen) == 1
        assert {uid for uid, _, _ in seen} == {who.pw_uid}
        # nor does root take it from them
        assert started() == (False, ANY)


# made anew


def test_one_that_was_copied_is_used(kept: Path, made: list[Path]) -> None:
    # what the tests below do to a copy is why it is made anew
    assert started() == (True, "")
    assert made == []
    assert len(entries(kept)) == 1


def test_another_pgtap_makes_another_one(kept: Path, made: list[Path], tmp_path: Path) -> None:
    from pgchaos.server.pgtap import find_file

    other = tmp_path / "pgtap--99.0.0.sql"
    other.write_text(find_file().read_text(encoding="utf-8") + "\n-- changed\n", encoding="utf-8")
    assert started(pgtap=other) == (True, "")
    assert (len(made), len(entries(kept))) == (1, 2)


def test_a_changed_toolkit_makes_another_one(kept: Path, made: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from pgchaos.server import prepared
    from pgchaos.server.sandbox import read_toolkit

    monkeypatch.setattr(prepared, "read_toolkit", lambda: read_toolkit() + "\n-- changed\n")
    assert started() == (True, "")
    assert (len(made), len(entries(kept))) == (1, 2)


def test_a_changed_file_of_the_server_s_makes_it_anew(kept: Path, made: list[Path]) -> None:
    listed = the_archive(kept).with_name("made_from.json")
    text = listed.read_text()
    assert "postgres.bki" in text
    assert '/extension"' in text, "a new extension may be pgTAP"
    # as if the file had been replaced since
    listed.write_text(text.replace('postgres.bki", [', 'postgres.bki", [1'))
    assert started() == (True, "")
    assert (len(made), len(entries(kept))) == (1, 1)


@pytest.mark.parametrize("how", ["cut off", "changed", "empty", "gone"])
def test_a_damaged_one_is_made_anew(kept: Path, made: list[Path], how: str) -> None:
    archive = the_archive(kept)
    if how == "gone":
        archive.unlink()
    elif how == "changed":
        with archive.open("r+b") as file:
            file.seek(100_000)
            byte = file.read(1)
            file.seek(100_000)
            file.write(bytes([byte[0] ^ 1]))
    else:
        os.truncate(archive, 0 if how == "empty" else 100_000)
    prepared, note = started()
    assert prepared
    assert note.startswith("the prepared data directory is made anew: its archive cannot be used: ")
    assert len(made) == 1
    assert started() == (True, "")
    assert len(made) == 1


def test_one_that_no_server_starts_with_is_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = PreparedData._make

    def broken(data: PreparedData) -> tuple[PrivateServer, list[Path]]:
        server, made_from = make(data)
        (server.folder / "data/global/pg_control").unlink()
        return server, made_from

    with monkeypatch.context() as patch:
        patch.setattr(PreparedData, "_make", broken)
        prepared, note = started()
    assert not prepared
    assert note.startswith("the prepared data directory is removed, because a server does not start with it: ")
    assert "pg_control" in note
    assert entries(folder) == []
    assert started() == (True, "")


# never taken from others


def by_mode(folder: Path) -> None:
    folder.chmod(0o777)


def by_owner(folder: Path) -> None:
    os.chown(folder, binaries.server_account().uid, -1)


def by_link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))
    os.chown(folder, binaries.server_account().uid, -1, follow_symlinks=False)


@pytest.mark.parametrize(
    "spoil", [by_mode, pytest.param(by_owner, marks=needs_root), pytest.param(by_link, marks=needs_root)]
)
def test_a_folder_that_others_could_write_is_not_used(
    kept: Path, made: list[Path], spoil: Callable[[Path], None]
) -> None:
    spoil(kept)
    prepared, note = started()
    assert not prepared
    assert note.startswith(f"no prepared data directory is kept in {kept}, so each run takes longer to start: {kept}")
    assert "PGCHAOS_PREPARED=/a/folder names another place" in note
    assert made == []


def writable(archive: Path) -> None:
    archive.chmod(0o666)


def anothers(archive: Path) -> None:
    os.chown(archive, binaries.server_account().uid, -1)


def linked(archive: Path) -> None:
    archive.rename(archive.parents[2] / "elsewhere")
    archive.symlink_to(archive.parents[2] / "elsewhere")


def linked_hard(archive: Path) -> None:
    (archive.parents[2] / "elsewhere").hardlink_to(archive)


@pytest.mark.parametrize("spoil", [writable, pytest.param(anothers, marks=needs_root), linked, linked_hard])
def test_an_archive_that_others_could_have_written_is_made_anew(
    kept: Path, made: list[Path], spoil: Callable[[Path], None]
) -> None:
    spoil(the_archive(kept))
    prepared, note = started()
    assert prepared
    assert "the prepared data directory is made anew" in note
    assert len(made) == 1


# where none can be kept


def test_none_is_kept_where_the_user_wants_none(made: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREPARED, "off")
    assert started() == (False, "")
    assert made == []


def test_a_folder_that_cannot_be_made_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREPARED, "/proc/nowhere")
    with open_server(ServerSettings(), {}) as server:
        (note,) = server.notes
        assert note.startswith("no prepared data directory is kept in /proc/nowhere, so each run takes longer to start")
        with server.sandbox() as sandbox, psycopg.connect(sandbox.conninfo) as conn:
            assert conn.execute("SELECT pgtap_version() > 1").fetchone() == (True,)


@pytest.fixture
def full_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_a_full_disk_is_reported_and_nothing_half_made_remains(full_disk: Path) -> None:
    prepared, note = started()
    assert not prepared
    assert "No space left on device" in note
    assert entries(full_disk) == []


def test_servers_of_a_scenario_s_own_are_prepared_for_the_run_at_least(
    made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREPARED, "off")
    own = ClusterFactory(None, None)
    for _ in range(2):
        with own.sandbox() as sandbox:
            assert sandbox.server_control is not None
            assert sandbox.server_control.prepared
    (kept,) = made
    assert kept.exists()
    own.close()
    assert not kept.exists()


def test_a_server_that_cannot_be_prepared_says_why(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "pgtap--1.0.0.sql"
    broken.write_text("SELECT 1 / 0;", encoding="utf-8")
    own, before = ClusterFactory(None, broken), folders_of(os.getpid())
    with pytest.raises(ServerError, match="pgTAP cannot be created: division by zero"), own.sandbox():
        pass
    own.close()
    assert folders_of(os.getpid()) == before
    assert entries(folder) == []


# several at once, and killed ones


def test_several_at_once_make_one(folder: Path, made: list[Path]) -> None:
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda _: started(), range(3))) == [(True, "")] * 3
    assert len(made) == 1
    assert len(entries(folder)) == 1


def test_one_that_was_killed_while_it_was_made_is_not_used(folder: Path, made: list[Path]) -> None:
    done = subprocess.run([sys.executable, "-c", START, "killed"], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = Path(done.stdout.strip())
    assert [path.suffix for path in entries(folder)] == [".new"]
    assert started() == (True, "")
    assert len(made) == 1
    assert [path.suffix for path in entries(folder)] == [""]
    until(lambda: not left.exists(), "the server of the killed run is removed")


def test_two_processes_at_once_use_one(folder: Path) -> None:
    runs = [subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [run.communicate()[0].strip() for run in runs] == ["True", "True"]
    assert len(entries(folder)) == 1


# removed


def age(path: Path, days: float) -> None:
    path.touch()
    when = path.stat().st_mtime - days * 24 * 3600
    os.utime(path, (when, when))


def test_what_was_not_used_for_a_month_is_removed(kept: Path) -> None:
    used = the_archive(kept).parent
    for name, days in {key(1): 31.0, key(2): 29.0, f"{key(3)}.new": 31.0}.items():
        (kept / name).mkdir()
        age(kept / name, days)
    age(used, 31)
    assert started() == (True, "")
    assert [path.name for path in entries(kept)] == sorted([used.name, key(2)]), "one in use is not old"


def key(number: int) -> str:
    return f"{number:032x}"


def three_hundred_bytes(path: Path) -> None:
    path.write_bytes(bytes(300))


def test_what_is_too_much_is_removed_the_oldest_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgchaos.server.prepared_store._MOST_BYTES", 1000)
    store = PreparedStore(folder)
    for number in range(4):
        with store.locked():
            store.publish(key(number), three_hundred_bytes, [])
        age(folder / key(number), 10 - number)
    assert [path.name for path in entries(folder)] == [key(1), key(2), key(3)]


def test_other_folders_beside_them_are_not_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgchaos.server.prepared_store._MOST_BYTES", 100)
    store = PreparedStore(folder)
    for name in ("mine", "mine.old"):
        (folder / name).mkdir()
        three_hundred_bytes(folder / name / "letter")
        age(folder / name, 400)
    with store.locked():
        store.publish(key(1), three_hundred_bytes, [])
    assert store.find(key(1)) is not None
    assert [path.name for path in entries(folder)] == [key(1), "mine", "mine.old"]


def test_an_unknown_file_does_no_harm(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "notes.txt").write_text("mine")
    assert started() == (True, "")
    assert started() == (True, "")
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_clean_removes_them(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "Makefile", tmp_path)
    for name in ("prepared/key", "npm-16.0"):
        (tmp_path / "cache/pgchaos" / name).mkdir(parents=True)
    subprocess.run(
        ["make", "clean"],
        cwd=tmp_path,
        env={**os.environ, PREPARED: "", "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=True,
    )
    assert [path.name for path in (tmp_path / "cache/pgchaos").iterdir()] == ["npm-16.0"]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_clean_leaves_what_else_is_in_a_named_folder(folder: Path, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "Makefile", tmp_path)
    store = PreparedStore(folder)
    with store.locked():
        store.publish(key(1), three_hundred_bytes, [])
    (folder / "mine").mkdir()
    clean = partial(subprocess.run, ["make", "clean"], cwd=tmp_path, check=True)
    clean(env={**os.environ, PREPARED: str(folder)})
    assert [path.name for path in folder.iterdir()] == ["mine"]
    (folder / "mine").rmdir()
    clean(env={**os.environ, PREPARED: str(folder)})
    assert not folder.exists()
