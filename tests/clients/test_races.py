"""Two races in psql, which is quick to start; `python -m tests.clients` searches for all of them in all clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server
from tests.clients.races import CLIENTS
from tests.clients.scenarios import scenario

PSQL = next(client for client in CLIENTS if client.name == "psql")
pytestmark = pytest.mark.skipif(bool(PSQL.lacks()), reason="psql is not in PATH")


@pytest.mark.parametrize(
    ("race", "failure"), [("lost_update", "both deposits are there"), ("deadlock", "exit status 3")]
)
def test_it_is_found_and_its_repair_is_green(private_server: Server, tmp_path: Path, race: str, failure: str) -> None:
    found = searched(private_server, tmp_path, race, "racy", 200)
    assert [failure in one.text for one in found.failures] == [True]
    assert found.explored is not None
    assert found.explored.runs < 40
    repaired = searched(private_server, tmp_path, race, "repaired", 4)
    assert not repaired.failures


def searched(server: Server, folder: Path, race: str, form: str, runs: int) -> RunResult:
    path = folder / f"{race}.sql"
    path.write_text(scenario(PSQL, race, form, runs), encoding="utf-8")
    return run(read(path, path.name), {}, server, RunSettings(1))
