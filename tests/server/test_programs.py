"""Whether a program of a session, and its library, is there."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest

from pgchaos.language.header_model import Requirement
from pgchaos.language.problems import Place
from pgchaos.server.programs import missing_program
from pgchaos.server.settings import ServerError


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


def test_a_machine_at_its_limit_is_an_error_and_no_skip() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 1, hard))
    try:
        with pytest.raises(ServerError, match=r"it is not known whether it is there: .*Too many open files"):
            missing("python", "psycopg")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(taken)


def test_a_program_that_is_killed_meanwhile_is_an_error_and_no_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "node"
    script.write_text("#!/bin/sh\nkill -9 $$\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ServerError, match="node was ended by signal 9"):
        missing("node", "pg")


def test_a_program_whose_interpreter_is_missing_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "node"
    script.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "does not run: " in missing("node", "pg")
