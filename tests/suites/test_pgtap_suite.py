"""pgTAP's own suite: pg_prove's verdict for every file, and as many assertions.

PGTAP_SRC names a checkout of pgTAP; nothing of it is kept here. Its extension is made from the same source, as its
Makefile does it for PostgreSQL 10 and later. PG_BINDIR says for which server; it needs contrib (citext, isn, ltree).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server import Server, ServerSettings, open_server
from pgchaos.verdict import judge
from tests.suites.servers import copy_of, environ

NEEDED = "needs pgTAP's source: git clone https://github.com/theory/pgtap, and PGTAP_SRC=…/pgtap"
NO_PEER = (
    "needs pg_prove: apt-get install libtap-parser-sourcehandler-pgtap-perl, or cpan TAP::Parser::SourceHandler::pgTAP"
)
TESTS = re.compile(r"^Files=1, Tests=(\d+),", re.MULTILINE)

STATED = """
    aretap 459, check 48, cmpok 38, coltap 276, do_tap 29, enumtap 108, extension 72, fktap 134, functap 1105,
    hastap 1013, index 297, inheritance 408, istap 47, matching 24, moretap 54, ownership 411, partitions 102,
    performs_ok 24, performs_within 24, pg73 39, pktap 96, policy 180, privs 372, proctap 192, resultset 545,
    roletap 39, ruletap 132, throwtap 97, todotap 36, trigger 84, unique 54, usergroup 90, util 14, valueset 349
"""
"""What pg_prove 3.36 found in pgTAP 1.3.5 on PostgreSQL 15: all of these pass."""
FAILING = {"runjusttests": 7, "runnotests": 1, "runtests": 22}
"""These hold tests that fail on purpose; pgTAP's Makefile keeps them from pg_prove, which fails them too."""

Outcome = tuple[str, int]


@dataclass(slots=True)
class Tally:
    """What one side made of the suite: verdict and number of assertions for each file, and the seconds that it took."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        passed = [count for outcome, count in self.outcomes.values() if outcome == "passed"]
        return f"{len(passed)} of {len(self.outcomes)} files pass with {sum(passed)} assertions, {self.seconds:.1f} s"


@pytest.fixture(scope="module")
def source() -> Iterator[Path]:
    named = os.environ.get("PGTAP_SRC")
    if not named:
        pytest.skip(NEEDED)
    with pytest.MonkeyPatch.context() as patch:
        # its files include test/setup.sql from there
        patch.chdir(named)
        yield Path(named)


@pytest.fixture(scope="module")
def bindir(source: Path) -> Iterator[Path]:
    """A copy of PG_BINDIR's server that offers the pgTAP of the source."""
    named = os.environ.get("PG_BINDIR")
    if not named:
        pytest.skip("needs PG_BINDIR, a server whose share directory can be copied")
    folder = Path(tempfile.mkdtemp(prefix="pgchaos-suite-"))
    folder.chmod(0o755)
    try:
        programs, extensions = copy_of(Path(named), folder)
        _build(source, extensions)
        yield programs
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(bindir: Path) -> Iterator[Server]:
    with open_server(ServerSettings(pg_bindir=bindir)) as server:
        yield server


@pytest.fixture(scope="module")
def files(source: Path) -> list[Path]:
    # what its Makefile puts beside them from test/schedule needs variables of the Makefile's
    not_tests = {path.name for path in (source / "test/schedule").glob("*.sql")}
    found = sorted(path.relative_to(source) for path in (source / "test/sql").glob("*.sql"))
    return [path for path in found if path.name not in not_tests]


@pytest.fixture(scope="module")
def ours(files: list[Path], server: Server) -> Tally:
    tally = Tally()
    for path in files:
        begun = time.monotonic()
        scenario = read(path)
        result = run(scenario, {}, server, RunSettings(seed=1, timeout=120.0))
        tally.seconds += time.monotonic() - begun
        tally.outcomes[path.stem] = judge(scenario, {}, result).outcome, len(result.assertions)
    return tally


@pytest.fixture(scope="module")
def theirs(files: list[Path], server: Server, bindir: Path) -> Tally:
    """What pg_prove says, each file in a database like ours; where it is not installed, what it said of 1.3.5."""
    tally = Tally()
    prove = shutil.which("pg_prove")
    if prove is None:
        stated = {name: ("passed", int(count)) for name, count in re.findall(r"(\w+) (\d+)", STATED)}
        tally.outcomes = dict(
            sorted({**stated, **{name: ("failed", count) for name, count in FAILING.items()}}.items())
        )
        return tally
    for path in files:
        with server.sandbox(()) as sandbox:
            begun = time.monotonic()
            done = subprocess.run(
                # Debian's pg_prove would start /usr/bin/psql, which may be of another version
                [prove, "--psql-bin", str(bindir / "psql"), "--pset", "tuples_only=1", str(path)],
                env=environ(bindir, sandbox.conninfo),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,  # its exit status is the verdict
            )
            tally.seconds += time.monotonic() - begun
        counted = TESTS.search(done.stdout)
        assert counted, done.stdout + done.stderr
        tally.outcomes[path.stem] = "failed" if done.returncode else "passed", int(counted[1])
    return tally


def test_every_file_gets_the_verdict_and_count_of_pg_prove(ours: Tally, theirs: Tally) -> None:
    print(f"pgchaos:  {ours}\npg_prove: {theirs if theirs.seconds else NO_PEER}")
    assert ours.outcomes == theirs.outcomes


def test_the_files_that_fail_do_so_on_purpose(ours: Tally) -> None:
    assert {name for name, (outcome, _) in ours.outcomes.items() if outcome != "passed"} == set(FAILING)


def test_the_plugin_says_the_same(ours: Tally, files: list[Path], bindir: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "pgchaos.pytest_plugin.plugin",
        "-c",
        str(tmp_path / "pytest.ini"),
    ]
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    options = ["--rootdir=.", "--chaos-pgtap", f"--chaos-pg-bindir={bindir}", f"--junit-xml={report}"]
    begun = time.monotonic()
    done = subprocess.run(
        [*command, *options, *map(str, files)],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,  # three files fail
    )
    print(f"plugin: {time.monotonic() - begun:.1f} s in all, server and collection included")
    assert done.returncode == 1, done.stdout + done.stderr
    failed = {
        str(case.get("name"))
        for case in ElementTree.parse(report).iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    }
    assert failed == {name for name, (outcome, _) in ours.outcomes.items() if outcome != "passed"}


def _build(source: Path, extensions: Path) -> None:
    control = (source / "pgtap.control").read_text(encoding="utf-8")
    version = re.findall(r"^default_version\s*=\s*'([^']+)'", control, re.MULTILINE)[0]
    sql = (source / "sql/pgtap.sql.in").read_text(encoding="utf-8")
    major = ".".join(version.split(".")[:2])
    for name, value in (("MODULE_PATHNAME", "pgtap"), ("__OS__", "linux"), ("__VERSION__", major)):
        sql = sql.replace(name, value)
    (extensions / "pgtap.control").write_text(control, encoding="utf-8")
    (extensions / f"pgtap--{version}.sql").write_text(sql, encoding="utf-8")
