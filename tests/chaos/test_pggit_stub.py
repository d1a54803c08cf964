"""A scenario that passes on a pgGit that stores nothing proves nothing: almost none of sql/pggit pass there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read, variants
from pgchaos.search.strategy import run
from pgchaos.server import ServerSettings, open_server
from pgchaos.server.binaries import copy_programs, embedded_bindir
from pgchaos.verdict import judge
from tests.often import often

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
STUB = Path(__file__).parent / "pggit_stub"
"""An extension of our own, with pgGit's functions and tables."""
MOST = 0.05
"""The share of items that may pass on it."""


@pytest.fixture
def programs() -> Iterator[Path]:
    """A copy of the embedded server that offers the stub as pggit 0.1.3."""
    with tempfile.TemporaryDirectory(prefix="pgchaos-stub-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another account
        bindir = copy_programs(embedded_bindir(), Path(folder))
        for file in STUB.iterdir():
            shutil.copy(file, bindir.parent / "share" / "extension")
        yield bindir


def test_next_to_nothing_passes_on_a_stub(programs: Path) -> None:
    outcomes: list[tuple[str, str]] = []
    with open_server(ServerSettings(pg_bindir=programs), {}) as server:
        for path in sorted((ROOT / "sql/pggit").rglob("*.sql"))[:: often(4, 1)]:
            scenario = read(path)
            for variables in variants(scenario):
                result = run(scenario, variables, server, RunSettings(seed=1, timeout=20.0))
                # a failure that is expected is one
                outcomes.append((f"{path.name} {variables}", judge(scenario, variables, result).outcome))
    ran = [(name, outcome) for name, outcome in outcomes if outcome != "skipped"]
    passed = [name for name, outcome in ran if outcome == "passed"]
    assert len(ran) > often(25, 100), outcomes
    assert len(passed) <= MOST * len(ran), f"{len(passed)} of {len(ran)} pass: {passed}"
