"""Ctrl-C while a scenario runs."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from pgchaos.server import Server
from tests.engine.playing import Play
from tests.waiting import until

NEVER = "-- chaos:check\nSELECT pass('never');\n"
SLEEP = "SELECT pg_sleep(600);\n"
WHERE = {
    "sessions": f"-- chaos:session busy x 3\n{SLEEP}{NEVER}",
    "a wait": f"-- chaos:session busy\n{SLEEP}-- chaos:signal go\n-- chaos:session s\n-- chaos:wait for go\n{NEVER}",
    "setup": f"-- chaos:setup\n{SLEEP}-- chaos:session s\nSELECT 1;\n{NEVER}",
    "check": f"-- chaos:session s\nSELECT 1;\n-- chaos:check\n{SLEEP}SELECT pass('never');\n",
}


def backends(server: Server, condition: str) -> int:
    with server.connect() as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^(setup|check|looks|s\\[|busy\\[)'"
            f" AND {condition}".encode()
        ).fetchone()
    assert row is not None
    return int(str(row[0]))


@pytest.mark.parametrize("text", WHERE.values(), ids=WHERE.keys())
def test_it_ends_promptly_and_leaves_nothing(play: Play, text: str) -> None:
    def interrupt() -> None:
        until(lambda: backends(play.server, "wait_event = 'PgSleep'"), "somebody sleeps")
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    pressed: list[float] = []
    play.server.close_unused()  # the connections of plain files that tests before this one have run
    before = set(threading.enumerate())
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        play(text, timeout=600)
    ended = time.monotonic()
    thread.join(30)
    assert ended - pressed[0] < 60
    # one that has done its work may still be ending
    until(lambda: {t.name for t in set(threading.enumerate()) - before} <= {"pgchaos databases"}, "no thread is left")
    until(lambda: backends(play.server, "true") == 0, "no connection is left")
