"""Processes of a real server that faults strike, which may be only just starting."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg.types.string import TextLoader

from pgchaos.engine.faults.actions import Row, TargetGone, carry_out, process
from pgchaos.engine.loop import alone
from pgchaos.engine.waits import sleep
from pgchaos.server import PrivateServer, Server
from tests.waiting import until

AT = "FROM pg_stat_activity WHERE pid = %s"


class Reached:
    """A server, reached over one connection.

    Args:
        server_control: the server itself.
        conn: to it.
    """

    def __init__(self, server_control: PrivateServer | None, conn: psycopg.Connection[tuple[object, ...]]) -> None:
        self.server_control, self._conn, self.polls = server_control, conn, 0
        self.start = ""

    async def ask(self, query: str) -> list[Row] | None:
        self.polls += "backend_type" in query
        # as text, such as t for true
        cursor = self._conn.cursor()
        cursor.adapters.register_loader("bool", TextLoader)
        return [tuple(map(str, row)) for row in cursor.execute(query.encode())]

    def began(self, pid: int) -> str:  # noqa: ARG002  # that of whom the test strikes
        return self.start

    async def refused(self) -> bool:
        return False

    async def take_connections(self) -> None:
        raise NotImplementedError

    async def do(self, work: Callable[[], object]) -> None:
        work()

    async def sleep(self, seconds: float) -> None:
        await sleep(seconds)


def test_a_process_that_does_not_show_yet_is_waited_for(own_server: Server) -> None:
    assert own_server.private is not None
    postmaster = own_server.private.pid
    with own_server.connect() as conn, own_server.connect() as other:
        reached = Reached(own_server.private, conn)
        before = alone(process(reached, "autovacuum"))
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
            assert alone(process(reached, "autovacuum")) != before
            thread.join(60)
        finally:
            os.kill(postmaster, signal.SIGCONT)


def test_a_process_that_will_not_come_is_not(own_server: Server) -> None:
    with (
        own_server.own_sandbox((), {"autovacuum": "off"}, {}) as sandbox,
        psycopg.connect(sandbox.conninfo, autocommit=True) as conn,
    ):
        reached = Reached(sandbox.server_control, conn)
        with pytest.raises(TargetGone, match="no autovacuum launcher"):
            alone(process(reached, "autovacuum"))
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
            alone(carry_out(reached, kind, "", [pid]))
        assert other.execute("SELECT 1").fetchone() == (1,)
        reached.start = str(row[0])
        alone(carry_out(reached, kind, "", [pid]))
        if kind == "terminate":
            with pytest.raises(psycopg.OperationalError):
                other.execute("SELECT 1")
