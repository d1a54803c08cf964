"""What passes on a pgGit that stores nothing proves nothing: of the pack in sql/pggit next to nothing passes there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.server.binaries import copy_programs, embedded_bindir

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


def outcome(case: ET.Element) -> str:
    """Say what became of an item; a failure that is expected is one."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    skipped = case.find("skipped")
    if skipped is None:
        return "passed"
    return "failed" if skipped.get("type") == "pytest.xfail" else "skipped"


def test_next_to_nothing_passes_on_a_stub(programs: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--chaos-pg-bindir={programs}", f"--junit-xml={report}"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--chaos-timeout=20s", "sql/pggit"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    outcomes = {str(case.get("name")): outcome(case) for case in ET.parse(report).getroot().iterfind(".//testcase")}
    ran = [name for name, how in outcomes.items() if how != "skipped"]
    passed = [name for name in ran if outcomes[name] == "passed"]
    assert len(ran) > 100, done.stdout
    assert len(passed) <= MOST * len(ran), f"{len(passed)} of {len(ran)} pass: {passed}"
