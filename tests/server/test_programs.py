"""Whether a program of a session, and its library, is there."""

from __future__ import annotations

import shutil

import pytest

from pgchaos.language.header_model import Requirement
from pgchaos.language.problems import Place
from pgchaos.server.programs import missing_program


def missing(name: str, library: str = "") -> str:
    return missing_program(Requirement(Place("t.sql", 1), "program", name, function=library))


def test_a_program_is_looked_for_in_path() -> None:
    assert missing("env") == ""
    assert missing("no-such-program") == "requires program no-such-program, which is not in PATH: install it"


def test_a_library_is_looked_for_by_its_program() -> None:
    assert missing("python", "psycopg") == ""
    assert missing("python", "no_such_library").startswith("requires program python with no_such_library, and /")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not in PATH")
def test_a_library_of_node_too() -> None:
    assert missing("node", "fs") == ""
    assert missing("node", "no-such-library").endswith("finds no no-such-library: install it for that")
