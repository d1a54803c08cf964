"""The races of the clients in Python as functions in threads, as `chaos_explore` runs them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from pgchaos.language.model import Scenario
from tests.clients.races import PROGRAMS, PYTHON

Play = Callable[[str, str, bool, int], object]
"""Plays a race: with a connection string, the race, whether it is the repaired form, and the number of the worker."""


def in_threads(scenario: Scenario, client: str, race: str, form: str) -> Scenario:
    """Have the sessions of a scenario be two functions of this process."""
    (session,) = scenario.sessions
    assert session.program is not None, "written so"
    play = PLAYS[client]()
    programs = [
        replace(session.program, text=f"worker_{number}", function=partial(_called, play, race, form, number))
        for number in (1, 2)
    ]
    sessions = [replace(session, name=one.text, count=1, program=one) for one in programs]
    return replace(scenario, sessions=tuple(sessions))


def _called(play: Play, race: str, form: str, number: int, dsn: str) -> object:
    return play(dsn, race, form == "repaired", number)


def _program(name: str) -> Any:  # noqa: ANN401  # a module
    """Import a program; it and what it needs are found behind what this process has."""
    for folder in map(str, (PROGRAMS, *PYTHON.parents[1].glob("lib/python*/site-packages"))):
        if folder not in sys.path:
            sys.path.append(folder)
    return import_module(name)


def _dbapi(driver: str) -> Play:
    return partial(_program("dbapi").play, driver)


def _asyncpg() -> Play:
    play: Play = _program("with_asyncpg").play
    return play


def _sqlalchemy() -> Play:
    program = _program("with_sqlalchemy")

    def play(dsn: str, race: str, repaired: bool, worker: int) -> None:
        engine = program.create_engine(dsn.replace("postgresql://", "postgresql+psycopg://", 1))
        program.play(engine, race, repaired, worker)

    return play


def _django() -> Play:
    program = _program("with_django")
    connections = import_module("django.db").connections

    def play(dsn: str, race: str, repaired: bool, worker: int) -> None:
        # a connection is of its thread; here it is of a server of its own, too
        own = connections.create_connection("default")
        own.settings_dict = own.settings_dict | program.database(dsn)
        connections["default"] = own
        program.play(race, repaired, worker)

    return play


PLAYS: dict[str, Callable[[], Play]] = {
    "psycopg 3": partial(_dbapi, "psycopg"),
    "psycopg2": partial(_dbapi, "psycopg2"),
    "asyncpg": _asyncpg,
    "SQLAlchemy": _sqlalchemy,
    "Django": _django,
}
