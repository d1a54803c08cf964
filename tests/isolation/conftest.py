"""Specs are run from their text, on a real server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgchaos.engine.specs import SpecResult, SpecSettings, run_spec
from pgchaos.isolation.grammar import read
from pgchaos.server import Server

HERE = Path(__file__).parent

Play = Callable[..., SpecResult]


@pytest.fixture
def play(private_server: Server, tmp_path: Path) -> Play:
    """Run a spec's text, within seconds and not minutes."""

    def run(text: str, settings: SpecSettings | None = None) -> SpecResult:
        path = tmp_path / "x.spec"
        path.write_bytes(text.encode())
        return run_spec(read(path), private_server, settings or SpecSettings(step_timeout=30.0))

    return run


@pytest.fixture(scope="session")
def isolationtester(private_server: Server) -> Callable[[str], str]:
    """The real one of the server under test, as pg_isolation_regress would call it."""
    private = private_server.private
    assert private is not None, "the server is ours"
    program = private.bindir.parent / "lib/pgxs/src/test/isolation/isolationtester"
    if not program.exists():
        pytest.skip(f"needs {program}: apt-get install postgresql-server-dev-{private_server.version // 10000}")

    def run(text: str) -> str:
        with private_server.spec_database() as spec_database:
            given = {key: value for key, value in conninfo_to_dict(spec_database.sandbox.conninfo).items() if value}
            options = "-c intervalstyle=postgres_verbose"
            done = subprocess.run(
                [program, make_conninfo("", **{**given, "options": options})],
                input=text,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=True,
                env={
                    **os.environ,
                    "PGAPPNAME": "isolation/x",
                    "PGTZ": "America/Los_Angeles",
                    "PGDATESTYLE": "Postgres, MDY",
                },
            )
        return done.stdout

    return run
