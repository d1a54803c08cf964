"""The protocol between a run and its supervisor, and what becomes of a supervisor that answers no more."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import psutil
import pytest

from pgchaos.posix.postmaster import remove_server
from pgchaos.server import ServerError, ServerSettings, open_server, supervisor_client
from pgchaos.server import starts as starts_of_servers
from pgchaos.server.private import start_private
from pgchaos.server.starts import Starts
from pgchaos.server.supervisor_client import SupervisorClient
from tests.conftest import ForeignServer
from tests.freezing import stopped, traced
from tests.server.conftest import alive, living_in
from tests.waiting import until


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ptrace as on Linux")
def test_a_supervisor_that_does_not_end_when_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("_SILENT_LIMIT", "_KILL_LIMIT"):
        monkeypatch.setattr(supervisor_client, limit, 0.2)
    starts = Starts()
    server = start_private(starts=starts)
    assert starts.folders == [server.folder]
    with ThreadPoolExecutor(1) as pool, traced(server.supervisor):
        with pytest.raises(ServerError, match="did not answer `status`"):
            server._supervisor.request("status", 0.2)
        pool.submit(server.close).result(15)
        assert starts.left() == [f"left: private server in {server.folder}; the next run removes it"]
    remove_server(str(server.folder))
    assert starts.left() == []


def test_when_the_run_ends_all_supervisors_that_are_stopped_have_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 3.0
    monkeypatch.setattr(starts_of_servers, "END_LIMIT", limit)
    monkeypatch.setattr(starts_of_servers, "_LEAST", 0.05)
    starts = Starts()
    with ExitStack() as stack:
        servers = [stack.enter_context(start_private(starts=starts)) for _ in range(3)]
        for server in servers:
            os.kill(server.supervisor, signal.SIGSTOP)
        starts.cancelled.set()
        began = time.monotonic()
        for server in servers:
            server.close()
        assert limit < time.monotonic() - began < 3 * limit, "each after the other"
    assert starts.left() == []
    assert not any(alive(server.pid) for server in servers)


def test_a_supervisor_of_databases_has_the_same_deadline(
    foreign_server: ForeignServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts_of_servers, "END_LIMIT", 0.1)
    monkeypatch.setattr(starts_of_servers, "_LEAST", 0.1)
    server = open_server(ServerSettings(dsn=foreign_server.dsn))
    server.ensure_cleanup()
    client = server._cleanup._supervisor
    assert client is not None
    os.kill(client.pid, signal.SIGSTOP)
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 10, "as long as the answer to another request may take"
    assert not alive(client.pid)


@pytest.mark.usefixtures("made_by_initdb")
def test_a_start_that_waits_is_cancelled_and_leaves_nothing() -> None:
    starts = Starts()

    def initdb() -> psutil.Process | None:
        found = psutil.Process().children(recursive=True)
        return next((process for process in found if is_initdb(process)), None)

    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start_private, starts=starts)
        process = until(initdb, "initdb runs", 60)
        assert process is not None
        process.suspend()
        try:
            began = time.monotonic()
            starts.cancelled.set()
            with pytest.raises(ServerError, match="`start` was cancelled, because the run ends"):
                starting.result(60)
            assert time.monotonic() - began < 2.5, "the supervisor ends by itself"
        finally:
            with suppress(psutil.NoSuchProcess):  # it was killed
                process.resume()
    assert starts.folders
    assert starts.left() == []
    assert living_in(starts.folders[0]) == []
    until(lambda: not process.is_running(), "initdb ended")
    with pytest.raises(ServerError, match="no private server is started, because the run ends"):
        start_private(starts=starts)


def is_initdb(process: psutil.Process) -> bool:
    try:
        return process.name() == "initdb" and "-D" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def test_several_threads_ask_at_once() -> None:
    with closing(SupervisorClient()) as client, ThreadPoolExecutor(8) as pool:
        orders = ["status", "forget"] * 50
        answers = list(pool.map(client.request, orders))
    assert answers == [{"running": False}, {}] * 50
