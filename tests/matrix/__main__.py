"""`python -m tests.matrix 14 15 16`: run scenarios and their mutants, and tests, on each version, and print one table.

CHAOS_TESTS and CHAOS_OPTS say which scenarios and how, as for `make installcheck-chaos`; MATRIX_TESTS which tests. What
a version cannot do is skipped by the scenario or test itself, with the reason, which is printed below the table.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pgchaos.server.conninfo import LIBPQ
from pgchaos.server.get_server import Programs, find_or_fetch
from pgchaos.server.settings import ServerError
from tests.matrix.table import Row, Suite, table

_PYTEST = (sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider")


def main(majors: list[str]) -> int:
    """Run everything on each version; return the exit code: 0 if nothing failed, 2 where a version is none."""
    wrong = [major for major in majors if not major.isdigit()]
    if wrong or not majors:
        print(f"no version of PostgreSQL: '{' '.join(wrong)}'; write make matrix PG='14 18'", file=sys.stderr)
        return 2
    # a shell has its background jobs ignore Ctrl-C, and the tests of it would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rows = []
    with tempfile.TemporaryDirectory(prefix="pgchaos-matrix-") as folder:
        for major in majors:
            rows.append(_row(major, Path(folder)))
            _tell(rows[-1])
    print()
    print("\n".join(table(rows)))
    return 0 if all(row.good for row in rows) else 1


def _row(major: str, folder: Path) -> Row:
    begun = time.monotonic()
    try:
        programs = find_or_fetch(int(major))
    except ServerError as error:
        return Row(major, str(error), (), 0.0)
    print(f"PostgreSQL {programs.version} from {programs.source}: {programs.bindir}", flush=True)
    environ = _environ(programs)
    scenarios = shlex.split(os.environ.get("CHAOS_TESTS", "sql")) + shlex.split(os.environ.get("CHAOS_OPTS", ""))
    tests = shlex.split(os.environ.get("MATRIX_TESTS", "tests"))
    suites = (
        _suite(["--chaos-mutants", *scenarios], environ, folder / f"{major}-scenarios.log"),
        _suite(["-n", "logical", *tests], environ, folder / f"{major}-tests.log"),
    )
    return Row(programs.version, programs.source, suites, time.monotonic() - begun)


def _environ(programs: Programs) -> Mapping[str, str]:
    """The libraries beside the programs are for the server alone: it gets them where it is started."""
    left_out = (*LIBPQ, "CHAOS_MAKE")
    return {name: value for name, value in os.environ.items() if name not in left_out} | {
        "PG_BINDIR": str(programs.bindir)
    }


def _suite(arguments: list[str], environ: Mapping[str, str], log: Path) -> Suite:
    with log.open("w") as file:
        code = subprocess.run(
            [*_PYTEST, *arguments], stdout=file, stderr=subprocess.STDOUT, env=environ, check=False
        ).returncode
    output = log.read_text(encoding="utf-8", errors="replace")
    # so that what all versions skip is one line of the table
    return Suite(code, output.replace(environ["PG_BINDIR"], "PG_BINDIR"))


def _tell(row: Row) -> None:
    for suite in row.suites:
        print(suite.output if suite.code else f"  {suite.last}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
