"""The programs by themselves, one client after the other: each does its work, in both forms."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgchaos.server import Server
from tests.clients.races import CLIENTS, PROGRAMS, RACES, TABLES

DEPOSITS = "SELECT balance FROM account ORDER BY id"
RESULTS = {
    "lost_update": (DEPOSITS, [(120,), (100,)]),
    "check_then_insert": ("SELECT count(*) FROM booking", [(1,)]),
    "write_skew": ("SELECT count(*) FROM doctor WHERE on_call", [(1,)]),
    "get_or_create": ("SELECT name FROM tag", [("news",)]),
    "double_claim": ("SELECT job FROM done ORDER BY job", [(1,), (2,)]),
    "deadlock": (DEPOSITS, [(100,), (100,)]),
}
PSQL = next(client for client in CLIENTS if client.name == "psql")


@pytest.mark.skipif(bool(PSQL.lacks()), reason="psql is not in PATH")
@pytest.mark.parametrize("race", RACES)
def test_psql_does_each_race_in_both_forms(private_server: Server, race: str) -> None:
    for form in ("racy", "repaired"):
        assert one_after_the_other(private_server, race, PSQL.command(race, form)) == RESULTS[race][1]


@pytest.mark.parametrize("race", ["lost_update", "write_skew"])
def test_a_driver_of_python_does_it_too(private_server: Server, race: str) -> None:
    command = [sys.executable, str(PROGRAMS / "dbapi.py"), "psycopg", race, "repaired"]
    assert one_after_the_other(private_server, race, command) == RESULTS[race][1]


def one_after_the_other(server: Server, race: str, command: list[str]) -> list[tuple[object, ...]]:
    with server.bare_database() as name:
        found = conninfo_to_dict(server.conninfo(name))
        env = {f"PG{key.upper()}": str(found[key]) for key in ("host", "port", "user")}
        with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
            connection.execute(TABLES.encode())
            for worker in ("1", "2"):
                words = [word.replace(":worker", worker) for word in command]
                own = {"PGDATABASE": name, "CHAOS_WORKER": worker, "PATH": os.environ["PATH"]}
                subprocess.run(words, env={**env, **own}, check=True, capture_output=True)
            return connection.execute(RESULTS[race][0].encode()).fetchall()
