"""The lock of runs on one server, with real advisory locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.runner import server_lock
from pgchaos.runner.server_lock import ServerLock
from pgchaos.server import Server, ServerSettings, open_server
from tests.freezing import stop
from tests.waiting import until


@pytest.fixture
def server(private_server: Server) -> Server:
    return private_server


@pytest.fixture
def make(server: Server) -> Iterator[Callable[[], ServerLock]]:
    """Make the lock of one process after the other."""
    with ExitStack() as stack:

        def made() -> ServerLock:
            lock = ServerLock(server.conninfo(), server.version, server.health)
            stack.callback(lock.close)
            return lock

        yield made


def waiting(server: Server) -> int:
    with server.connect() as conn:
        row = conn.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
        return int(str(row[0])) if row else 0


def begun(lock: ServerLock, *, alone: bool) -> tuple[threading.Thread, threading.Event]:
    inside = threading.Event()

    def work() -> None:
        with lock.acquire(alone=alone):
            inside.set()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, inside


def test_a_shared_lock_does_not_wait_for_others(make: Callable[[], ServerLock]) -> None:
    one, other = make(), make()
    with one.acquire(alone=False), one.acquire(alone=False), other.acquire(alone=False):
        pass


@pytest.mark.parametrize("first", [True, False], ids=["alone is first", "alone is second"])
def test_an_exclusive_lock_waits_and_is_waited_for(
    server: Server, make: Callable[[], ServerLock], *, first: bool
) -> None:
    one, other = make(), make()
    with one.acquire(alone=first):
        thread, inside = begun(other, alone=not first)
        until(lambda: waiting(server) == 1, "the other waits")
        assert not inside.is_set()
    thread.join(30)
    assert inside.is_set()


def test_two_jobs_of_one_process_hold_the_lock_until_both_release_it(
    server: Server, make: Callable[[], ServerLock]
) -> None:
    one, other = make(), make()
    with one.acquire(alone=False):
        with one.acquire(alone=False):
            thread, inside = begun(other, alone=True)
            until(lambda: waiting(server) == 1, "the other waits")
        assert waiting(server) == 1
        assert not inside.is_set()
    thread.join(30)
    assert inside.is_set()


def test_a_stop_ends_the_wait(server: Server, make: Callable[[], ServerLock]) -> None:
    one, other = make(), make()
    with one.acquire(alone=True):
        thread, inside = begun(other, alone=False)
        until(lambda: waiting(server) == 1, "the other waits")
        other.stop()
        thread.join(30)
        assert inside.is_set()
        until(lambda: waiting(server) == 0, "nobody waits")


def test_the_lock_ends_with_its_connection(server: Server, make: Callable[[], ServerLock]) -> None:
    one, other = make(), make()
    with one.acquire(alone=True):
        one.close()
        with other.acquire(alone=True):
            assert waiting(server) == 0


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout", "transaction_timeout"])
def test_timeouts_of_the_role_do_not_end_the_wait(server: Server, setting: str) -> None:
    if setting == "transaction_timeout" and server.version < 170000:
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    impatient = make_conninfo(server.conninfo(), options=f"-c {setting}=20ms")
    one, other = (ServerLock(one, server.version, server.health) for one in (server.conninfo(), impatient))
    with closing(one), closing(other):
        with one.acquire(alone=True):
            thread, inside = begun(other, alone=True)
            until(lambda: waiting(server) == 1, "the other waits")
            assert not inside.wait(0.2)  # ten times as long as its own limit
        thread.join(30)
        assert inside.is_set()


def test_a_lost_connection_waits_again(server: Server, make: Callable[[], ServerLock]) -> None:
    one, other = make(), make()
    with one.acquire(alone=True):
        thread, inside = begun(other, alone=True)
        until(lambda: waiting(server) == 1, "the other waits")
        with server.connect() as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
        until(lambda: waiting(server) == 1, "the other waits again")
        assert not inside.is_set()
    thread.join(30)
    assert inside.is_set()


@pytest.mark.parametrize("leaves", [True, False], ids=["who leaves", "who comes"])
def test_a_frozen_server_blocks_nobody(monkeypatch: pytest.MonkeyPatch, *, leaves: bool) -> None:
    # without a limit it would be held up for as long as the server is frozen; the limit itself is waited for twice
    monkeypatch.setattr(server_lock, "_ANSWER_LIMIT", 2.0)
    with open_server(ServerSettings()) as own, closing(ServerLock(own.conninfo(), own.version, own.health)) as lock:
        frozen, inside = threading.Event(), threading.Event()

        def work() -> None:
            with lock.acquire(alone=False):
                inside.set()
                if leaves:
                    frozen.wait(30)
            if not leaves:
                frozen.wait(30)
                with lock.acquire(alone=False):
                    pass

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert inside.wait(30)
        go_on = stop(own)
        try:
            frozen.set()
            thread.join(20)
            assert not thread.is_alive()
        finally:
            go_on()
