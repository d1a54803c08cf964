"""A server not ours that answers nothing any more: the run gives it back soon, and says what it has left there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from pgchaos.server import Server, ServerSettings, open_server
from pgchaos.server.settings import Conninfo
from tests.freezing import stop
from tests.waiting import until

_SOON = 10.0
"""Seconds: 5 on a machine that has nothing else to do; it was 60, and in place for ever."""


@pytest.fixture
def own() -> Iterator[Server]:
    with open_server(ServerSettings()) as server:
        yield server


def _databases(own: Server, of: Server) -> set[str]:
    with own.connect() as conn:
        rows = conn.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"pgchaos_{of.run.id}_%"])
        return {str(name) for (name,) in rows}


def _foreign(own: Server, *, in_place: bool = False) -> Server:
    return open_server(ServerSettings(dsn=Conninfo(own.conninfo()), in_place=in_place))


@pytest.mark.parametrize("whole", [True, False], ids=["server", "backend"])
def test_what_a_frozen_server_keeps_is_told_and_goes_when_it_answers_again(own: Server, *, whole: bool) -> None:
    server = _foreign(own)
    with ExitStack() as stack:
        with server.sandbox() as sandbox, psycopg.connect(sandbox.conninfo) as conn:
            go_on = stop(own, None if whole else [conn.info.backend_pid])
            stack.callback(go_on)
            sandbox.doubt()
            began = time.monotonic()
        (left,) = server.close()
        assert time.monotonic() - began < _SOON
    assert (", which does not answer: " in left) is whole
    assert "; the next run there removes them. By hand: DROP DATABASE IF EXISTS " in left
    assert f'DROP DATABASE IF EXISTS "{sandbox.database}"' in left
    # who watches over the run goes on when the run has ended
    until(lambda: not _databases(own, server), "all have gone")


def test_a_frozen_database_of_the_user_s_is_given_back_soon(own: Server) -> None:
    server = _foreign(own, in_place=True)
    with ExitStack() as stack:
        with server.sandbox() as sandbox:
            stack.callback(stop(own))
            began = time.monotonic()
        (left,) = server.close()
        assert time.monotonic() - began < _SOON
    assert f"what was brought into database {sandbox.database}; the next run in it removes that" in left
    assert left.endswith("By hand: DROP SCHEMA IF EXISTS chaos, chaos_pgtap, chaos_sandbox CASCADE")
