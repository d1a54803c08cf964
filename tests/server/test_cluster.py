"""Servers of a scenario's own: their settings, their restart, and that they end with their scenario."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg
import pytest

from pgchaos.engine.faults import actions
from pgchaos.engine.loop import run_sync
from pgchaos.language.header_model import Requirement
from pgchaos.language.problems import Place
from pgchaos.server import ServerError
from pgchaos.server.cache_folder import PREPARED
from pgchaos.server.cluster import ClusterFactory
from pgchaos.server.settings import NoDisk
from tests.server.conftest import alive, at_once, living_in, needs_root
from tests.waiting import until

HOLDER = """
import sys
from pgchaos.server.cache_folder import PREPARED
from pgchaos.server.cluster import ClusterFactory
own = ClusterFactory(None, None)
disks = {"disk": 8 << 20, "wal": 64 << 20} if sys.argv[1:] else {}
with own.sandbox():
    pass
with own.sandbox(disks=disks) as sandbox:
    begun = own._next.take()
    stopped = own._prepared._stopped
    print(sandbox.server_control.folder, begun._folder, *([stopped.folder] if stopped else []), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def own() -> Iterator[ClusterFactory]:
    servers = ClusterFactory(None, None)
    yield servers
    servers.close()


def shown(conninfo: str, query: str) -> str:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def test_it_has_the_toolkit_and_its_parameters(own: ClusterFactory) -> None:
    with own.sandbox(settings={"work_mem": "77kB"}) as sandbox:
        assert shown(sandbox.conninfo, "SHOW work_mem") == "77kB"
        assert shown(sandbox.conninfo, "SELECT count(*) FROM chaos.history") == "0"
        assert shown(sandbox.conninfo, "SELECT pgtap_version() > 1") == "True"
        assert sandbox.server_control is not None
        folder = sandbox.server_control.folder
        assert "ready to accept connections" in "\n".join(sandbox.server_control.last_lines(sandbox.database))
    assert not folder.exists()
    assert living_in(folder) == []


def test_it_has_extensions_that_are_asked_for(own: ClusterFactory) -> None:
    with own.sandbox(("btree_gist",)) as sandbox:
        assert shown(sandbox.conninfo, "SELECT extname FROM pg_extension WHERE extname = 'btree_gist'") == "btree_gist"
        assert shown(sandbox.conninfo, "SELECT count(*) FROM chaos.history") == "0"


def test_several_run_at_the_same_time(own: ClusterFactory) -> None:
    def one(number: int) -> str:
        with own.sandbox() as sandbox, psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
            conn.execute(f"CREATE TABLE t AS SELECT {number} AS id".encode())
            return shown(sandbox.conninfo, "SELECT string_agg(id::text, ',') FROM t")

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(one, range(3))) == ["0", "1", "2"]


@pytest.mark.parametrize("how", ["crash", "fast", "immediate"])
def test_it_starts_again(own: ClusterFactory, how: str) -> None:
    with own.sandbox() as sandbox:
        server_control = sandbox.server_control
        assert server_control is not None
        with psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
            conn.execute("CREATE TABLE t ()")
            if how == "crash":
                server_control.crash()
            else:
                assert server_control.stop("fast" if how == "fast" else "immediate")
            assert not server_control.running
            assert living_in(server_control.folder / "data") == []
            # nobody is left dead and uncollected either
            assert psutil.Process(server_control.supervisor).children() == []
            with pytest.raises(psycopg.OperationalError):
                conn.execute("SELECT 1")
        server_control.start()
        assert server_control.running
        assert shown(sandbox.conninfo, "SELECT count(*) FROM t") == "0"


def test_a_server_that_does_not_start_leaves_nothing(own: ClusterFactory) -> None:
    with pytest.raises(ServerError, match="shared_buffers") as raised, own.sandbox(settings={"shared_buffers": "1"}):
        pass
    assert "no private server from" in str(raised.value)


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        (Requirement(Place("x", 1), "server", "", ">=", "14"), ""),
        (Requirement(Place("x", 1), "server", "", ">=", "99"), "requires server >= 99"),
        (Requirement(Place("x", 1), "extension", "no_such"), "requires extension no_such"),
        (Requirement(Place("x", 1), "capability", "prepared_transactions"), ""),
        (Requirement(Place("x", 1), "own server"), ""),
    ],
)
def test_requirements_are_asked_of_a_server_of_its_own(
    own: ClusterFactory, requirement: Requirement, said: str
) -> None:
    missing = own.missing(requirement)
    assert missing.startswith(said)
    assert bool(missing) == bool(said)


@needs_root
def test_disks_can_be_filled_by_root(own: ClusterFactory) -> None:
    with own.sandbox(disks={"disk": 8 << 20}) as sandbox:
        assert sandbox.server_control is not None
        place = str(sandbox.server_control.folder / "disk")
        assert place in Path("/proc/self/mounts").read_text()
        with psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
            conn.execute("CREATE TABLE t (a text) TABLESPACE chaos_disk")
            with pytest.raises(psycopg.errors.DiskFull):
                conn.execute("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    assert place not in Path("/proc/self/mounts").read_text()


@needs_root
def test_a_disk_has_room_again_though_the_file_that_filled_it_is_open(own: ClusterFactory) -> None:
    with own.sandbox(disks={"disk": 8 << 20}) as sandbox:
        assert sandbox.server_control is not None
        disk = sandbox.server_control.folder / "disk"
        before = os.statvfs(disk).f_bavail
        run_sync(actions.fill(SimpleNamespace(server_control=sandbox.server_control, do=at_once), "disk"))
        assert os.statvfs(disk).f_bavail == 0
        assert not [path for path in disk.iterdir() if path.is_file()]
        # as a process does that is being started just then
        (number,) = [int(link.name) for link in Path("/proc/self/fd").iterdir() if _is_below(link, disk)]
        held = os.dup(number)
        try:
            sandbox.server_control.empty()
            assert os.statvfs(disk).f_bavail == before
        finally:
            os.close(held)


def _is_below(link: Path, folder: Path) -> bool:
    try:
        return str(link.readlink()).startswith(f"{folder}/")
    except OSError:  # closed meanwhile
        return False


def test_only_root_gets_a_disk(own: ClusterFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(NoDisk, match="only root can mount"), own.sandbox(disks={"disk": 8 << 20}):
        pass


def test_from_the_second_on_the_next_one_is_prepared_in_advance() -> None:
    own = ClusterFactory(None, None)
    with own.sandbox():
        assert own._next is None, "one scenario alone needs no other"
    with own.sandbox(settings={"work_mem": "77kB"}):
        assert own._next is not None
        begun = own._next.take()
    assert begun is not None
    with own.sandbox(settings={"work_mem": "88kB"}) as sandbox:
        assert sandbox.server_control is not None
        assert sandbox.server_control.folder == begun._folder
        assert shown(sandbox.conninfo, "SHOW work_mem") == "88kB"
        assert shown(sandbox.conninfo, "SELECT count(*) FROM chaos.history") == "0"
        assert own._next is not None
        last = own._next.take()
    own.close()
    assert last is not None
    assert last._folder is not None
    assert not last._folder.exists()


def test_the_next_one_is_prepared_while_one_starts() -> None:
    own = ClusterFactory(None, None)
    own.expect(2)
    # a server that does not start is never ready
    with pytest.raises(ServerError), own.sandbox(settings={"work_mem": "nonsense"}):
        pass
    assert own._next is not None
    own.close()


def test_those_that_are_expected_are_prepared_from_the_first_on() -> None:
    own = ClusterFactory(None, None)
    own.expect(2)
    for number in (1, 2):
        assert own._next is not None
        begun = own._next.take()
        assert begun is not None
        with own.sandbox() as sandbox:
            assert sandbox.server_control is not None
            assert sandbox.server_control.folder == begun._folder
            assert (own._next is None) is (number == 2), "no third one is expected"
    own.close()


def test_one_that_was_lost_in_the_meantime_is_replaced() -> None:
    own = ClusterFactory(None, None)
    for _ in range(2):
        with own.sandbox():
            pass
    assert own._next is not None
    begun = own._next.take()
    assert begun is not None
    supervisor = begun._supervisor.pid
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not alive(supervisor), "the supervisor is gone")
    with own.sandbox() as sandbox:
        assert shown(sandbox.conninfo, "SELECT count(*) FROM chaos.history") == "0"
    own.close()
    assert begun._folder is not None
    assert not begun._folder.exists()


@pytest.mark.parametrize("disks", [[], pytest.param(["disks"], marks=needs_root)])
@pytest.mark.parametrize("kept", [True, False])
def test_it_is_removed_after_a_killed_run(disks: list[str], kept: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *disks],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **({} if kept else {PREPARED: "off"})},
    )
    assert process.stdout is not None
    folders = [Path(word) for word in process.stdout.readline().split()]
    assert len(folders) == (2 if kept else 3)
    assert living_in(folders[0])
    process.kill()
    process.communicate()
    until(lambda: not any(folder.exists() for folder in folders), "the folders are gone")
    assert living_in(folders[0]) == []
    assert str(folders[0]) not in Path("/proc/self/mounts").read_text()
