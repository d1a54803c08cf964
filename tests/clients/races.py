"""Six races that applications have: their tables, what must hold, and how each client is started for one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pgchaos.server.cache_folder import cache_folder

PROGRAMS = Path(__file__).with_name("programs")
INSTALLED = cache_folder(os.environ) / "clients"
"""Where `make clients` puts what the clients need."""
PYTHON = INSTALLED / "venv/bin/python"
JAR = Path("usr/share/java/postgresql.jar")
HOW = "make clients"

TABLES = """
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100);
CREATE TABLE room (id int PRIMARY KEY);
INSERT INTO room VALUES (7);
CREATE TABLE booking (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, room int NOT NULL, guest int NOT NULL);
CREATE TABLE doctor (id int PRIMARY KEY, on_call boolean NOT NULL);
INSERT INTO doctor VALUES (1, true), (2, true);
CREATE TABLE tag (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE job (id int PRIMARY KEY, taken_by int);
INSERT INTO job (id) VALUES (1), (2);
CREATE TABLE done (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job int NOT NULL);
"""

RACES = {
    "lost_update": ("SELECT is(balance, 120, '{}') FROM account WHERE id = 1", "both deposits are there"),
    "check_then_insert": ("SELECT is(count(*), 1::bigint, '{}') FROM booking", "the room is booked once"),
    "write_skew": ("SELECT ok(bool_or(on_call), '{}') FROM doctor", "somebody is on call"),
    "get_or_create": ("SELECT is(count(*), 1::bigint, '{}') FROM tag", "there is one tag"),
    "double_claim": ("SELECT is(count(DISTINCT job), 2::bigint, '{}') FROM done", "each job is done once"),
    "deadlock": ("SELECT ok(bool_and(balance = 100), '{}') FROM account", "both transfers are made"),
}
"""For each race the assertion that must hold after two clients, and its description."""


def check_of(race: str) -> str:
    """Write the assertion of a race."""
    query, description = RACES[race]
    return query.format(description) + ";"


@dataclass(frozen=True, slots=True)
class Client:
    """A client of PostgreSQL that has the six races.

    Args:
        name: of the library or program.
        command: gives its command for a race and a form, `racy` or `repaired`.
        lacks: says what is not installed, '' where all is there.
        env: variables that it needs besides those of the session.
    """

    name: str
    command: Callable[[str, str], list[str]]
    lacks: Callable[[], str]
    env: dict[str, str] = field(default_factory=dict)


def _python(file: str, *arguments: str) -> Callable[[str, str], list[str]]:
    return lambda race, form: [str(PYTHON), str(PROGRAMS / file), *arguments, race, form]


def _module(name: str) -> Callable[[], str]:
    def lacks() -> str:
        there = PYTHON.exists() and not subprocess.run([PYTHON, "-c", f"import {name}"], capture_output=True).returncode
        return "" if there else f"{name} is not installed: {HOW}"

    return lacks


def _program(name: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"{name} is not in PATH"


def _psql(race: str, form: str) -> list[str]:
    file = str(PROGRAMS / "sql" / f"{race}.sql")
    repaired = f"repaired={int(form == 'repaired')}"
    return ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", repaired, "-v", "worker=:worker", "-f", file]


def _pgbench(race: str, form: str) -> list[str]:
    file = str(PROGRAMS / "sql" / f"{race}.sql")
    repaired = f"repaired={int(form == 'repaired')}"
    return ["pgbench", "-n", "-t", "1", "-D", repaired, "-D", "worker=:worker", "-f", file]


def _node_lacks() -> str:
    if reason := _program("node")():
        return reason
    return "" if (INSTALLED / "node_modules/pg").is_dir() else f"node-postgres is not installed: {HOW}"


def jar() -> Path | None:
    """Find the driver of JDBC: Debian's, or what `make clients` has brought."""
    return next((path for path in (Path("/", JAR), INSTALLED / "jdbc" / JAR) if path.exists()), None)


def _jdbc_lacks() -> str:
    if reason := _program("java")():
        return reason
    return "" if (INSTALLED / "jdbc/WithJdbc.class").exists() else f"the JDBC driver or its program is missing: {HOW}"


def _jdbc(race: str, form: str) -> list[str]:
    path = f"{jar()}{os.pathsep}{INSTALLED / 'jdbc'}"
    # a client that lives for a moment needs no compiler of its own
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", path, "WithJdbc", race, form]


CLIENTS: Sequence[Client] = (
    Client("psycopg 3", _python("dbapi.py", "psycopg"), _module("psycopg")),
    Client("psycopg2", _python("dbapi.py", "psycopg2"), _module("psycopg2")),
    Client("asyncpg", _python("with_asyncpg.py"), _module("asyncpg")),
    Client("SQLAlchemy", _python("with_sqlalchemy.py"), _module("sqlalchemy")),
    Client("Django", _python("with_django.py"), _module("django")),
    Client(
        "node-postgres",
        lambda race, form: ["node", str(PROGRAMS / "with_pg.js"), race, form],
        _node_lacks,
        {"NODE_PATH": str(INSTALLED / "node_modules")},
    ),
    Client("JDBC", _jdbc, _jdbc_lacks),
    Client("psql", _psql, _program("psql")),
    Client("pgbench", _pgbench, _program("pgbench")),
)
