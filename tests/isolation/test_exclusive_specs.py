"""A spec waits, without limit, for what only one spec may use at a time."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.loop import run_sync
from pgchaos.engine.specs.blocked_detector import BlockedDetector
from pgchaos.engine.specs.session_cache import watch_conninfo
from pgchaos.engine.specs.spec_connection import SpecConnection
from pgchaos.server import Server
from pgchaos.stop import Stop
from tests.waiting import until

_WAITS = """
    SELECT 1 FROM pg_stat_activity
     WHERE application_name = 'impatient' AND wait_event = 'advisory'
       AND clock_timestamp() > query_start + interval '0.2s'
"""
"""Ten times as long as its own patience."""


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
def test_time_outs_of_the_role_take_no_turn_away(private_server: Server, setting: str) -> None:
    stop = Stop()
    base = private_server.conninfo()
    watch = watch_conninfo(f"{base} options='-c {setting}=20ms'", private_server.version)
    impatient = make_conninfo(watch, application_name="impatient")
    with (
        closing(stop),
        closing(run_sync(SpecConnection.open(base, stop))) as first,
        closing(run_sync(SpecConnection.open(impatient, stop))) as second,
    ):
        one, other = BlockedDetector(first, stop), BlockedDetector(second, stop)
        one.prepare()
        other.prepare()
        one.take_turn("a role", shared=False)
        had = threading.Event()

        def take() -> None:
            other.take_turn("a role", shared=False)
            had.set()

        thread = threading.Thread(target=take)
        thread.start()
        with private_server.connect() as conn:
            until(lambda: conn.execute(_WAITS).fetchone(), "the other waits")
        assert not had.is_set()
        one.release()
        assert had.wait(30)
        thread.join(30)
        other.release()
