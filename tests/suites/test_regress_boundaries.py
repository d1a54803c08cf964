"""Where statements end in PostgreSQL's own regression files: our scan against psql itself.

PG_SRC names PostgreSQL's source, PG_BINDIR the programs of the same version; nothing of the source is kept here. The
files are run by psql as pg_regress would, one after the other, and the server's log says what reached it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.language.psql_scanner import scan
from tests.language.psql_log import Psql, start
from tests.suites.boundaries import NO_DATA, differences, reason, sent_as_compared, wanted, without

NEEDED = "needs PostgreSQL's source: apt-get source postgresql-15, and PG_SRC=…/postgresql-15.18"
SETTINGS = {
    "statement_timeout": "30s",
    "autovacuum": "off",
    # a worker would log its statement again
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
}
VERSION = "15.18"
WITHOUT_DATA = {
    "alter_table": (1148, 1149),
    "copy": (211,),
    "copy2": (54, *range(57, 69), 71, 127, 129, 131, 133, 135, 331, 335),
    "generated": (205, 207, 209, 225),
    "privileges": (174, 217, 449),
    "rowsecurity": (1634, 1636, 1651, 1653),
}
"""The lines of the COPY … FROM STDIN that fail and have no data behind them, in PostgreSQL 15.18."""

GDESC = r"\gdesc describes what stands before it and does not send it; it is an error of the file"
OTHERWISE = {
    ("copyselect", 44): r"two COPY … FROM STDIN in one \; group, an error of the file; \copy likewise",
    (
        "largeobject",
        17,
    ): r"psql's own statements for \lo_list and \lo_unlink, errors of the file, hide ours behind them",
    ("largeobject", 33): r"psql's own BEGIN for \lo_unlink is taken for the BEGIN in that line",
    ("psql", 28): r"\g with nothing before it, an error of the file",
    ("psql", 82): GDESC,
    ("psql", 100): GDESC,
    ("psql", 105): GDESC,
    (
        "psql",
        842,
    ): r"\if and \endif inside a statement, errors of the file; psql forgets the statement of an untaken branch",
    ("psql", 1074): r"\p and \r, errors of the file: what psql forgets at \r is a statement to us",
    ("psql", 1126): GDESC,
    ("rules", 184): r"\r, an error of the file: what psql forgets is a statement to us",
    ("strings", 800): "standard_conforming_strings is off: a backslash before a quote, told as an error of the file",
    ("strings", 809): "standard_conforming_strings is off: a backslash before a quote, told as an error of the file",
}
"""Differences by file and the line of our statement before them, in PostgreSQL 15.18."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The regression files, and psql in a database in which they can be run."""

    folder: Path
    psql: Psql

    def order(self) -> list[Path]:
        """List all files, those first that make what the others need."""
        schedule = (self.folder / "parallel_schedule").read_text(encoding="utf-8").splitlines()
        names = [name for line in schedule if line.startswith("test:") for name in line[5:].split()]
        scheduled = [path for name in names if (path := self.folder / "sql" / f"{name}.sql").exists()]
        return [*scheduled, *sorted(set((self.folder / "sql").glob("*.sql")) - set(scheduled))]

    def sent(self, path: Path) -> list[str]:
        """Run a file as pg_regress does."""
        environ = {
            "PG_ABS_SRCDIR": str(self.folder),
            "PG_ABS_BUILDDIR": str(self.psql.folder),
            "PG_LIBDIR": str(self.psql.server.bindir.parent / "lib"),
            "PG_DLSUFFIX": ".so",
        }
        variables = {"HIDE_TABLEAM": "on", "HIDE_TOAST_COMPRESSION": "on"}
        return self.psql.sent_by(path, variables, "regression", environ, seconds=300.0)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    source, bindir = os.environ.get("PG_SRC"), os.environ.get("PG_BINDIR")
    if not source:
        pytest.skip(NEEDED)
    if not bindir or VERSION not in _version(Path(bindir)):
        pytest.skip(f"needs PG_BINDIR with the programs of PostgreSQL {VERSION}, for which the differences are listed")
    psql = start(Path(bindir), tmp_path_factory.mktemp("regress"), SETTINGS)
    with psql.server:
        with psycopg.connect(make_conninfo(**psql.server.parameters), autocommit=True) as conn:
            conn.execute("CREATE DATABASE regression TEMPLATE template0")
        yield Suite(Path(source) / "src/test/regress", psql)


def test_statements_end_where_psql_ends_them(suite: Suite) -> None:
    begun = time.monotonic()
    reasons: Counter[str] = Counter()
    unexplained: dict[tuple[str, int], str] = {}
    statements = files = 0
    for path in suite.order():
        name, no_data = path.stem, WITHOUT_DATA.get(path.stem, ())
        sent = sent_as_compared(suite.sent(path))
        lexemes = scan(without(path.read_text(encoding="utf-8", errors="replace"), no_data), path.name)
        ours = wanted(lexemes)
        statements, files = statements + len(ours), files + 1
        for difference in differences(ours, sent):
            why = reason(difference, lexemes, no_data) or OTHERWISE.get((name, difference.after))
            if why is None:
                unexplained[name, difference.after] = str(difference)
            else:
                reasons[why] += 1
    print(f"{files} files, {statements} statements, {time.monotonic() - begun:.0f} s")
    print(*(f"{count} differences: {why}" for why, count in reasons.most_common()), sep="\n")
    assert unexplained == {}
    assert reasons[NO_DATA]
    assert files == len(list((suite.folder / "sql").glob("*.sql")))


def _version(bindir: Path) -> str:
    return subprocess.run([bindir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
