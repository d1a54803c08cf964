"""Scenarios written in a test, and connections that carry the names of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server

Connection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"
Play: TypeAlias = "Callable[..., RunResult]"
Connect: TypeAlias = "Callable[[str], Connection]"


@pytest.fixture
def play(private_server: Server, tmp_path: Path) -> Play:
    """Run a scenario given as text."""

    def play(text: str, seed: int = 1) -> RunResult:
        path = tmp_path / "scenario.sql"
        path.write_text(text, encoding="utf-8")
        return run(read(path), {}, private_server, RunSettings(seed=seed, timeout=30.0))

    return play


@pytest.fixture
def connect(private_server: Server) -> Iterator[Connect]:
    """Open connections to one sandbox, each under a name of its own."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(private_server.sandbox())

        def connect(name: str) -> Connection:
            conninfo = make_conninfo(sandbox.conninfo, application_name=name)
            conn = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
            stack.callback(conn.close)
            return conn

        yield connect


def reported(result: RunResult) -> list[str]:
    """Tell what failed, in words; [] where all held."""
    return [f"{failure.kind}: {failure.text} {failure.details}" for failure in result.failures]


def one(conn: Connection, query: str) -> object:
    """Ask for one value."""
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
