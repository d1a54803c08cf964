from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.server import ServerError, ServerSettings
from pgchaos.server.conninfo import LIBPQ, choose_server


def test_nothing_named_is_the_embedded_server() -> None:
    choice = choose_server(ServerSettings(), {"PGPASSWORD": "x", "PGSSLMODE": "require"})
    assert choice.conninfo is None
    assert choice.bindir is None


@pytest.mark.parametrize("name", LIBPQ)
def test_each_of_libpqs_variables_names_a_server(name: str) -> None:
    choice = choose_server(ServerSettings(), {name: "x"})
    assert choice.conninfo == ""
    assert choice.source == name
    assert choice.database == (name in ("PGDATABASE", "PGSERVICE"))


def test_programs_win_over_the_environment_and_the_dsn_over_programs() -> None:
    environ = {"PGHOST": "x", "PG_BINDIR": "/b"}
    assert choose_server(ServerSettings(), environ).bindir == Path("/b")
    assert choose_server(ServerSettings(pg_bindir=Path("/a")), environ).bindir == Path("/a")
    assert choose_server(ServerSettings(dsn="host=h", pg_bindir=Path("/a")), environ).conninfo == "host=h"


def test_empty_dsn_is_libpqs_environment() -> None:
    assert choose_server(ServerSettings(dsn=""), {}).conninfo == ""


@pytest.mark.parametrize("dsn", ["dbname=d", "postgresql://h/d", "service=s"])
def test_dsn_names_the_database(dsn: str) -> None:
    assert choose_server(ServerSettings(dsn=dsn), {}).database


def test_an_invalid_connection_string_is_refused() -> None:
    with pytest.raises(ServerError, match="--chaos-dsn is not a valid connection string"):
        choose_server(ServerSettings(dsn="hots=h"), {})
