"""A backend of one of the run's own connections has stopped answering: the run waits for it only briefly."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from pgchaos.engine.amcheck import corruptions
from pgchaos.engine.connection import Connection
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.history_tables import fill
from pgchaos.engine.loop import run_sync
from pgchaos.engine.notices import NoticeCollector
from pgchaos.engine.section import Section
from pgchaos.engine.session_log import SessionLog
from pgchaos.language.reader import read
from pgchaos.server import Server
from pgchaos.stop import Stop
from tests.engine.playing import Play
from tests.freezing import meanwhile, stop
from tests.waiting import until

_SOON = 18.0
"""Seconds: 8 at most on a machine that has nothing else to do; it was 20 to 70."""
# long enough for a busy machine to see it, and far shorter than the scenario's limit
_MOMENT = "SELECT pg_sleep(1.5);"


def _freezing(server: Server, application: str) -> AbstractContextManager[list[float]]:
    """Stop the backend of one of the run's own connections while another one sleeps."""

    def looked() -> list[int]:
        with server.connect() as conn:
            rows = conn.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
                " AND EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')",
                [application],
            ).fetchall()
        return [int(str(pid)) for (pid,) in rows]

    return meanwhile(lambda: stop(server, until(looked, "a session sleeps, and the connection is there")))


CASES = {
    "search": (
        "admin",
        f"-- chaos:schedule explore 20\n-- chaos:setup\nCREATE TABLE t (n int);\n{_MOMENT}\n"
        "-- chaos:session one\nUPDATE t SET n = 1;\n-- chaos:session two\nINSERT INTO t VALUES (1);\n"
        "-- chaos:check\nSELECT pass('checked');",
    ),
    "invariant": (
        "invariant",
        "-- chaos:invariant at end\nSELECT true AS it_is;\n"
        f"-- chaos:session one\n{_MOMENT}\n-- chaos:check\nSELECT pass('checked');",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_frozen_backend_of_the_run_s_own_is_not_waited_for(own_server: Server, tmp_path: Path, case: str) -> None:
    application, text = CASES[case]
    with _freezing(own_server, application) as when:
        result = Play(own_server, tmp_path)(f"-- chaos:timeout 5s\n{text}")
        ended = time.monotonic()
    assert not result.failures
    assert ended - when[0] < _SOON


def test_a_query_sent_ahead_is_not_waited_for_where_the_server_is_known_to_be_silent(own_server: Server) -> None:
    with closing(Stop()) as cleanup_stop, own_server.sandbox() as sandbox:
        factory = ConnectionFactory(sandbox, keep=False)
        pids: set[int] = set()
        section = Section(factory, "check", cleanup_stop, NoticeCollector(), pids, {}, 1)
        section.begin(_MOMENT)
        go_on = stop(own_server, [*pids])
        factory.note_silence()
        began = time.monotonic()
        section.close()
        took = time.monotonic() - began
        go_on()
    assert took < 9, "it was 12 s"


@pytest.mark.parametrize("what", ["history", "amcheck"])
def test_a_question_takes_no_longer_than_the_scenario_may(own_server: Server, tmp_path: Path, what: str) -> None:
    text = "-- chaos:tags corruption\n-- chaos:check\nSELECT pass('checked');"
    with (
        closing(Stop()) as cleanup_stop,
        own_server.sandbox() as sandbox,
        closing(run_sync(Connection.open(sandbox.conninfo, cleanup_stop))) as connection,
    ):
        connection.limit, connection.ends_when_late = 1.0, True
        go_on = stop(own_server, [connection.pid])
        began = time.monotonic()
        if what == "history":
            failure = fill(connection, SessionLog())
            reported = "" if failure is None else failure.text
        else:
            _, (reported,) = corruptions(connection, read(tmp_path / "x.sql", raw=text.encode()), sandbox, asked=False)
        took = time.monotonic() - began
        go_on()
    assert reported
    assert took < _SOON
