"""A data directory comes out of its archive as it went in, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgchaos.posix.account import run_as
from pgchaos.posix.data_archive import DamagedArchive, append, extract, write

FILES = {
    "PG_VERSION": b"18\n",
    "base/1/1259": b"page" * 2048,
    "base/5/1259": b"page" * 2048,
    "base/5/112": b"",
    "pg_wal/000000010000000000000001": b"record" + bytes(3 << 20),
    "pg_wal/zeros": bytes(8192),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "data" / "pg_notify").mkdir()
    return tmp_path / "data"


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    file = os.open(path, flags, 0o600)
    try:
        yield file
    finally:
        os.close(file)


@pytest.fixture
def archive(data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    with opened(path, os.O_RDWR | os.O_CREAT) as file:
        write(data, file)
    return path


def extracted(archive: Path, folder: Path) -> str:
    folder.mkdir()
    with opened(archive) as file:
        return run_as({}, lambda: extract(file, folder))


def test_all_comes_back(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "again"
    assert extracted(archive, target) == ""
    found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert found == FILES
    assert (target / "pg_notify").is_dir()
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*")} == {0o600, 0o700}
    assert (target / "pg_wal/zeros").stat().st_blocks > 0, "the server needs the room, so it is taken now"


def test_what_is_there_twice_or_zero_is_stored_once(archive: Path) -> None:
    assert archive.stat().st_size < 2 * 8192


def test_what_the_server_left_of_its_own_is_left_out(data: Path, tmp_path: Path) -> None:
    (data / "pg_stat").mkdir()
    for name in ("postmaster.pid", "postmaster.opts", "pg_stat/pgstat.stat"):
        (data / name).write_text("old")
    with opened(tmp_path / "second", os.O_RDWR | os.O_CREAT) as file:
        write(data, file)
    assert extracted(tmp_path / "second", tmp_path / "again") == ""
    assert not [path for path in (tmp_path / "again").rglob("*") if path.name in ("postmaster.pid", "pgstat.stat")]


@pytest.mark.parametrize("where", [0, 9, 40, 8000, -3])
def test_one_changed_byte_is_noticed(archive: Path, tmp_path: Path, where: int) -> None:
    content = bytearray(archive.read_bytes())
    content[where] ^= 1
    archive.write_bytes(content)
    assert "DamagedArchive" in extracted(archive, tmp_path / "again")
    assert list((tmp_path / "again").iterdir()) == []


@pytest.mark.parametrize("size", [0, 10, 28, 5000])
def test_half_an_archive_is_noticed(archive: Path, tmp_path: Path, size: int) -> None:
    os.truncate(archive, size)
    assert "DamagedArchive" in extracted(archive, tmp_path / "again")


def test_an_archive_without_its_header_is_none(archive: Path, tmp_path: Path) -> None:
    with opened(archive, os.O_WRONLY) as file:
        os.pwrite(file, bytes(28), 0)
    with opened(archive) as file, pytest.raises(DamagedArchive, match="not complete"):
        extract(file, tmp_path)


def test_a_link_is_not_followed(data: Path, tmp_path: Path) -> None:
    (data / "base/link").symlink_to("/etc/passwd")
    with opened(tmp_path / "second", os.O_RDWR | os.O_CREAT) as file:
        assert "OSError" in run_as({}, lambda: write(data, file))


def test_a_pipe_holds_nothing_up(data: Path, tmp_path: Path) -> None:
    os.mkfifo(data / "base/pipe")
    with opened(tmp_path / "second", os.O_RDWR | os.O_CREAT) as file:
        assert "is not a plain file" in run_as({}, lambda: write(data, file))


def test_nothing_is_appended_through_a_link(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("untouched")
    link.symlink_to(victim)
    assert "OSError" in run_as({}, lambda: append(link, "more"))
    assert victim.read_text() == "untouched"


def test_a_process_that_is_killed_is_an_error() -> None:
    assert run_as({}, lambda: os.kill(os.getpid(), 9)) == "the process that did it ended with -9"
