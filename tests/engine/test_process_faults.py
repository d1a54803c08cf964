"""Faults that hit processes of a real server, which may still be starting."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.types.string import TextLoader

from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.faults import actions, outage
from pgchaos.engine.faults.actions import NotDelivered, Row, TargetGone, carry_out, process
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.loop import Loop, run_sync
from pgchaos.engine.waits import sleep
from pgchaos.server import PrivateServer, Sandbox, Server, ServerError, start_private
from pgchaos.stop import Stop
from tests.freezing import stop, stopped
from tests.waiting import until

T = TypeVar("T")

AT = "FROM pg_stat_activity WHERE pid = %s"


class Reached:
    """A server, reached over one connection."""

    def __init__(self, server_control: PrivateServer | None, conn: psycopg.Connection[tuple[object, ...]]) -> None:
        self.server_control, self._conn, self.polls, self.queries = server_control, conn, 0, 0
        self.start, self.until = "", math.inf

    async def ask(self, query: str) -> list[Row] | None:
        self.polls += "backend_type" in query
        self.queries += 1
        # as text, such as t for true
        cursor = self._conn.cursor()
        cursor.adapters.register_loader("bool", TextLoader)
        return [tuple(map(str, row)) for row in cursor.execute(query.encode())]

    def backend_start(self, pid: int) -> str:  # noqa: ARG002  # that of the target
        return self.start

    async def refused(self) -> bool:
        return False

    async def take_connections(self) -> None:
        raise NotImplementedError

    async def do(self, work: Callable[[], T]) -> T:
        return work()

    async def sleep(self, seconds: float) -> None:
        await sleep(seconds)


def test_a_process_that_does_not_show_yet_is_waited_for(own_server: Server) -> None:
    assert own_server.private is not None
    postmaster = own_server.private.pid
    with own_server.connect() as conn, own_server.connect() as other:
        reached = Reached(own_server.private, conn)
        before = run_sync(process(reached, "autovacuum"))
        # stopped, it starts no other in its place
        os.kill(postmaster, signal.SIGSTOP)
        try:
            os.kill(before, signal.SIGTERM)
            gone = "SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum launcher'"
            until(lambda: other.execute(gone).fetchone() is None, "the launcher has ended")
            reached.polls = 0

            def go_on() -> None:
                until(lambda: reached.polls > 2, "it is looked for again and again")
                os.kill(postmaster, signal.SIGCONT)

            thread = threading.Thread(target=go_on)
            thread.start()
            assert run_sync(process(reached, "autovacuum")) != before
            thread.join(60)
        finally:
            os.kill(postmaster, signal.SIGCONT)


def test_a_process_that_will_not_come_is_not(own_server: Server) -> None:
    with (
        own_server.own_server_sandbox((), {"autovacuum": "off"}, {}) as sandbox,
        psycopg.connect(sandbox.conninfo, autocommit=True) as conn,
    ):
        reached = Reached(sandbox.server_control, conn)
        with pytest.raises(TargetGone, match="no autovacuum launcher"):
            run_sync(process(reached, "autovacuum"))
        assert reached.polls == 1


@pytest.mark.parametrize("kind", ["cancel", "terminate"])
def test_another_backend_that_has_got_the_number_is_left_alone(own_server: Server, kind: str) -> None:
    with own_server.connect() as conn, own_server.connect() as other:
        pid = other.info.backend_pid
        reached = Reached(own_server.private, conn)
        row = conn.execute(f"SELECT extract(epoch FROM backend_start)::text {AT}", [pid]).fetchone()
        assert row is not None
        reached.start = f"{row[0]}1"  # a tenth of a microsecond later
        with pytest.raises(TargetGone, match=f"no backend {pid} any more"):
            run_sync(carry_out(reached, kind, "", [pid]))
        assert other.execute("SELECT 1").fetchone() == (1,)
        reached.start = str(row[0])
        run_sync(carry_out(reached, kind, "", [pid]))
        if kind == "terminate":
            with pytest.raises(psycopg.OperationalError):
                other.execute("SELECT 1")


def test_other_queries_do_not_wait_for_a_backend_that_is_terminated(own_server: Server) -> None:
    with own_server.connect() as conn, own_server.connect() as other:
        reached, pid = Reached(own_server.private, conn), other.info.backend_pid
        go_on = stop(own_server, [pid])
        with ThreadPoolExecutor(1) as threads:
            ending = threads.submit(run_sync, carry_out(reached, "terminate", "", [pid]))
            try:
                until(lambda: reached.queries > 3, "it is asked again and again whether it has ended")
                assert not ending.done()
            finally:
                go_on()
            ending.result(60)


def test_a_server_that_does_not_end_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its postmaster is stopped, and hears no signal."""
    monkeypatch.setattr(actions, "_STOPPED_WITHIN", 0.1)
    with (
        start_private() as server,
        psycopg.connect(make_conninfo(**server.parameters), autocommit=True) as conn,
        stopped(server.pid),
    ):
        for kind, argument in (("restart", ""), ("stop", "fast"), ("stop", "immediate")):
            with pytest.raises(NotDelivered, match=r"the server did not end within 0\.1 s"):
                run_sync(carry_out(Reached(server, conn), kind, argument, ()))


def test_a_server_that_does_not_come_back_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It runs, and nobody reaches it."""
    monkeypatch.setattr(outage, "_RECOVERED_WITHIN", 0.1)
    with closing(Stop()) as ending, start_private() as server:
        sandbox = Sandbox("postgres", make_conninfo(host=str(tmp_path)), server_control=server)
        connection = FaultConnection(ConnectionFactory(sandbox), ending, set())
        broken = outage.Outage(connection, ending, ending)
        connection.standby_set = True
        with pytest.raises(NotDelivered, match=r"it did not say within 0\.1 s that commits wait for no standby"):
            Loop().run(broken.restore())
        broken._filled_disk = True
        with pytest.raises(ServerError, match=r"has room again, and has not recovered within 0\.1 s"):
            Loop().run(broken.release())
