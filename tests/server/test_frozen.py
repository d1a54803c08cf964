"""A server of others that has stopped answering: the run ends soon, and reports what it has left there."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.server import Server, ServerError, ServerSettings, open_server
from pgchaos.server.settings import Conninfo
from tests.freezing import stop
from tests.waiting import until

_SOON = 30.0
"""Seconds: 5 on a machine that has nothing else to do; it was 60, and in place for ever."""


def _databases(own_server: Server, of: Server) -> set[str]:
    with own_server.connect() as conn:
        rows = conn.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"pgchaos_{of.run.id}_%"])
        return {str(name) for (name,) in rows}


def _foreign(own_server: Server, *, in_place: bool = False) -> Server:
    return open_server(ServerSettings(dsn=Conninfo(own_server.conninfo()), in_place=in_place))


@pytest.mark.parametrize("whole", [True, False], ids=["server", "backend"])
def test_what_remains_on_a_frozen_server_is_reported_and_is_removed_when_it_answers_again(
    own_server: Server, *, whole: bool
) -> None:
    server = _foreign(own_server)
    with ExitStack() as stack:
        with server.sandbox() as sandbox, psycopg.connect(sandbox.conninfo) as conn:
            go_on = stop(own_server, None if whole else [conn.info.backend_pid])
            stack.callback(go_on)
            sandbox.report_silent_backend()
            began = time.monotonic()
        (left,) = server.close()
        assert time.monotonic() - began < _SOON
    assert (", which does not answer: " in left) is whole
    assert "; the next run there removes them. By hand: DROP DATABASE IF EXISTS " in left
    assert f'DROP DATABASE IF EXISTS "{sandbox.database}"' in left
    # who watches over the run goes on when the run has ended
    until(lambda: not _databases(own_server, server), "all have gone")


def test_a_frozen_database_of_the_user_s_is_given_back_soon(own_server: Server) -> None:
    server = _foreign(own_server, in_place=True)
    with ExitStack() as stack:
        with server.sandbox() as sandbox:
            stack.callback(stop(own_server))
            began = time.monotonic()
        (left,) = server.close()
        assert time.monotonic() - began < _SOON
    assert f"what was installed in database {sandbox.database}; the next run in it removes that" in left
    assert left.endswith("By hand: DROP SCHEMA IF EXISTS chaos, chaos_pgtap, chaos_sandbox CASCADE")


def test_a_place_on_a_frozen_server_is_not_waited_for_long(own_server: Server) -> None:
    with own_server.sandbox(schema=True), ExitStack() as stack:
        stack.callback(stop(own_server))
        began = time.monotonic()
        with pytest.raises(ServerError, match="the server does not answer"):
            stack.enter_context(own_server.sandbox(("hstore",)))
        assert time.monotonic() - began < _SOON, "it was 60 s"


_READY = b"Z\x00\x00\x00\x05I"
"""ReadyForQuery, which ends the login (PostgreSQL docs, "Message Formats")."""


@contextmanager
def _between(own_server: Server, folder: Path, ready: Callable[[], None]) -> Iterator[str]:
    """Pass on what is said between a client and a server, and do something when the client has logged in."""
    assert own_server.private is not None
    behind = f"{own_server.private.parameters['host']}/.s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as factory, socket.socket(socket.AF_UNIX) as server:
        factory.bind(str(folder / ".s.PGSQL.5432"))
        factory.listen()

        def work() -> None:
            client, _ = factory.accept()
            with client:
                server.connect(behind)
                other = {client: server, server: client}
                while True:
                    for one in select.select([*other], [], [])[0]:
                        data = one.recv(65536)
                        if not data:
                            return
                        other[one].sendall(data)
                        if data.endswith(_READY):
                            ready()

        thread = threading.Thread(target=work)
        thread.start()
        yield make_conninfo(own_server.conninfo(), host=str(folder), gssencmode="disable", connect_timeout=2)
        thread.join(60)


def test_a_server_that_freezes_after_the_login_is_reported(own_server: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:

        def freeze() -> None:
            stack.callback(stop(own_server))

        dsn = stack.enter_context(_between(own_server, tmp_path, freeze))
        began = time.monotonic()
        with pytest.raises(ServerError, match="the server did not answer within 2 s"):
            open_server(ServerSettings(dsn=Conninfo(dsn)))
        assert time.monotonic() - began < _SOON


def test_a_server_that_answers_late_is_not_silent(own_server: Server) -> None:
    with ExitStack() as stack:
        go_on = stop(own_server)
        stack.callback(go_on)
        late = threading.Timer(3.0, go_on)
        late.start()
        stack.callback(late.join)
        assert own_server.health.check()
