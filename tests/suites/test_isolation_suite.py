"""PostgreSQL's own isolation specs, as pg_isolation_regress runs them.

PG_SRC names PostgreSQL's source, PG_BINDIR the programs of the same major version (without it: the embedded ones);
nothing of the source is kept here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pgchaos.server.binaries import embedded_bindir

NEEDED = "needs PostgreSQL's source: apt-get source postgresql-15, and PG_SRC=…/postgresql-15.18"
OUTSIDE = ("prepared-transactions", "prepared-transactions-cic")
"""Not in the schedule: they need max_prepared_transactions."""


@pytest.fixture(scope="module")
def bindir() -> Path:
    named = os.environ.get("PG_BINDIR")
    return Path(named) if named else embedded_bindir()


@pytest.fixture(scope="module")
def source(bindir: Path) -> Path:
    named = os.environ.get("PG_SRC")
    if not named:
        pytest.skip(NEEDED)
    version = subprocess.run([bindir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    major = version.split()[2].partition(".")[0]
    if f"-{major}." not in Path(named).name:
        pytest.skip(f"needs the source of PostgreSQL {major}, and PG_SRC is {named}")
    return Path(named) / "src/test/isolation"


def schedule(source: Path) -> list[str]:
    lines = (source / "isolation_schedule").read_text(encoding="utf-8").splitlines()
    return [name for line in lines if line.startswith("test:") for name in line[5:].split()]


def test_every_spec_prints_what_is_expected(source: Path, bindir: Path, tmp_path: Path) -> None:
    names = [*schedule(source), *OUTSIDE]
    report = tmp_path / "report.xml"
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "pgchaos.pytest_plugin.plugin", "-c", str(tmp_path / "pytest.ini")]
    options = [f"--rootdir={source}", f"--chaos-pg-bindir={bindir}", f"--junit-xml={report}"]
    begun = time.monotonic()
    done = subprocess.run(
        [*command, *options, *(str(source / "specs" / f"{name}.spec") for name in names)],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,  # its output says which failed
    )
    notes = [line for line in done.stdout.splitlines() if line.startswith("note:")]
    print(f"{len(names)} specs, {time.monotonic() - begun:.1f} s", *notes, sep="\n")
    assert done.returncode == 0, done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert len(cases) == len(names)
    # properties hold the note on the one whose expected output needs what earlier permutations leave behind
    assert not [case.get("name") for case in cases if any(child.tag != "properties" for child in case)]
    assert [note for note in notes if "stats.spec" in note]
