"""How long the main thread stands still while sessions wait: run as a program, it prints the largest gaps.

It is a program of its own because psycopg chooses its implementation once, by PSYCOPG_IMPL, when it is imported.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import pq

from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.loop import run_sync
from pgchaos.server import ServerSettings, open_server
from pgchaos.stop import Stop
from tests.engine.playing import Play

_TICK = 0.01
# both last a while on purpose: in that time the ticks are measured
LOCK = """
    -- chaos:session holder
    SELECT pg_advisory_lock(1);
    -- chaos:signal held
    -- chaos:wait blocked waiter
    SELECT pg_sleep(2);
    SELECT pg_advisory_unlock(1);
    -- chaos:session waiter x 20
    -- chaos:wait for held
    SELECT pg_advisory_xact_lock(1);
    -- chaos:check
    SELECT pass('checked');
"""
CANCEL = """
    -- chaos:timeout 2s
    -- chaos:session s x 20
    SELECT pg_sleep(100);
    -- chaos:check
    SELECT pass('never');
"""


def largest_gap(work: Callable[[], None]) -> tuple[float, float]:
    """Tick while another thread works; return the longest time between two ticks, and that of the work, in s."""
    thread = threading.Thread(target=work)
    began = last = time.monotonic()
    gap = 0.0
    thread.start()
    while thread.is_alive():
        time.sleep(_TICK)  # that is what is measured: how late this wakes up
        now = time.monotonic()
        gap, last = max(gap, now - last), now
    return gap, time.monotonic() - began


def black_hole() -> None:
    """Connect to a socket that listens and never answers, for 2 seconds."""
    stop = Stop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        conninfo = f"host=127.0.0.1 port={listening.getsockname()[1]} sslmode=disable gssencmode=disable dbname=x"
        try:
            with pytest.raises(ConnectionLost, match="timed out"):
                run_sync(Connection.open(conninfo, stop, seconds=2.0))
        finally:
            stop.close()


def main() -> None:
    """Print psycopg's implementation, and gap and duration of each work."""
    with tempfile.TemporaryDirectory() as folder, open_server(ServerSettings()) as server:
        play = Play(server, Path(folder))
        play("-- chaos:session s\nSELECT chaos.assert(true, 'warm');\n")
        works = {
            "lock": lambda: _ended(play(LOCK).failures == []),
            "connect": black_hole,
            "cancel": lambda: _ended([f.kind for f in play(CANCEL).failures] == ["timeout"]),
        }
        reported = {name: largest_gap(work) for name, work in works.items()}
    json.dump({"impl": pq.__impl__, **reported}, sys.stdout)


def _ended(well: bool) -> None:
    assert well


if __name__ == "__main__":
    main()
