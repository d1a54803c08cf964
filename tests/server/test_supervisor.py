"""The protocol between a run and its supervisor, and what becomes of a supervisor that answers no more."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from pgchaos.server import ServerError
from pgchaos.server.private import start_private
from pgchaos.server.supervisor_client import SupervisorClient
from tests.freezing import stopped
from tests.server.conftest import alive, living_in


def test_late_answer_is_not_taken_for_that_of_the_next_order() -> None:
    with closing(SupervisorClient()) as client:
        assert client.request("status") == {"running": False}
        with stopped(client.pid), pytest.raises(ServerError, match=r"did not answer `status` within 0\.2 s"):
            client.request("status", 0.2)
        assert client.request("forget") == {}
        assert client.request("status") == {"running": False}


def test_order_sent_while_another_is_obeyed_is_no_end_of_the_run() -> None:
    with start_private() as server:
        client = server._supervisor
        # SIGCONT ends nothing, so the supervisor waits for all of that time
        with pytest.raises(ServerError, match="did not answer `stop`"):
            client.request("stop", 0.2, signal_name="SIGCONT", within=2.0)
        assert client.request("status") == {"running": True}
        assert alive(server.pid)


def test_order_that_does_not_fit_into_the_pipe_ends_in_time_and_is_sent_whole_later() -> None:
    with closing(SupervisorClient()) as client:
        assert client.request("status") == {"running": False}
        began = time.monotonic()
        with stopped(client.pid), pytest.raises(ServerError, match="did not answer `watch`"):
            client.request("watch", 0.2, conninfo="x" * 1_000_000)
        assert time.monotonic() - began < 30, "it was for ever"
        assert client.request("status") == {"running": False}
        assert client.request("forget") == {}


def test_an_error_in_the_supervisor_is_reported_with_its_traceback_and_it_still_works() -> None:
    with closing(SupervisorClient()) as client:
        error = client.request("nonsense")["error"]
        assert "Traceback" in error
        assert "do_nonsense" in error
        assert client.request("status") == {"running": False}


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_supervisor_that_cannot_answer_ends_and_its_server_with_it(how: signal.Signals) -> None:
    with start_private() as server:
        supervisor, folder = server.supervisor, server.folder
        os.kill(supervisor, how)
        with pytest.raises(ServerError, match="the supervisor of the server"):
            server._supervisor.request("status", 1.0)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 15
    assert not alive(supervisor)
    assert not alive(server.pid)
    assert not folder.exists()
    assert living_in(folder) == []


def test_several_threads_ask_at_once() -> None:
    with closing(SupervisorClient()) as client, ThreadPoolExecutor(8) as pool:
        orders = ["status", "forget"] * 50
        answers = list(pool.map(client.request, orders))
    assert answers == [{"running": False}, {}] * 50
