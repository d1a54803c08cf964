"""pgTAP's own suite, against pg_prove with the number of jobs that suits it best."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from pgchaos.server import ServerSettings, open_server
from tests.bench.files import GET_PG_PROVE
from tests.bench.measure import Absent, Line, compared
from tests.bench.work import environment, program, pytest_run, tool, workplace
from tests.suites.servers import copy_of
from tests.suites.test_pgtap_suite import FAILING, _build

_JOBS = (1, 2, 4)
_WHAT = "pgTAP's own suite against pg_prove's best -j"


def lines(folder: Path) -> Iterator[Line]:
    """Measure the suite, where its source is."""
    try:
        named = os.environ.get("PGTAP_SRC")
        if not named:
            raise Absent("it is not there (git clone https://github.com/theory/pgtap, and PGTAP_SRC=…/pgtap)")
        if not os.environ.get("PG_BINDIR"):
            raise Absent("it needs PG_BINDIR, a server whose share directory can be copied")
        yield _line(folder, Path(named).resolve(), tool("pg_prove", GET_PG_PROVE))
    except Absent as absent:
        yield Line(_WHAT, skipped=str(absent))


def _line(folder: Path, source: Path, pg_prove: str) -> Line:
    bindir = Path(os.environ["PG_BINDIR"])
    programs, extensions = copy_of(bindir, folder / "server")
    _build(source, extensions)
    names = _names(source)
    with (
        workplace(folder, "suite") as place,
        open_server(ServerSettings(pg_bindir=programs), {}) as server,
        server.sandbox(("pgtap",)) as sandbox,
    ):
        # its files include test/setup.sql from where the run begins
        (place / "test").symlink_to(source / "test")
        at = {key: str(value) for key, value in conninfo_to_dict(sandbox.conninfo).items() if value}
        dsn = f"host={at['host']} port={at['port']} user={at['user']} dbname={sandbox.database}"
        env = environment(
            PGHOST=at["host"],
            PGPORT=at["port"],
            PGUSER=at["user"],
            PGDATABASE=sandbox.database,
        )

        def prove(jobs: int) -> float:
            command = [pg_prove, "--psql-bin", str(programs / "psql"), f"-j{jobs}"]
            return program([*command, "--pset", "tuples_only=1", *names], place, env).seconds

        def ours() -> float:
            return pytest_run(place, f"--chaos-dsn={dsn}", "--chaos-pgtap", *names).seconds

        best = min(_JOBS, key=prove)
        return compared(f"{_WHAT} ({best})", ours, lambda: prove(best), "s", under=1.0, server=server, each=len(names))


def _names(source: Path) -> list[str]:
    # what pgTAP's Makefile makes of test/schedule needs variables of its own
    left_out = {path.stem for path in (source / "test/schedule").glob("*.sql")} | set(FAILING)
    return sorted(f"test/sql/{path.name}" for path in (source / "test/sql").glob("*.sql") if path.stem not in left_out)
