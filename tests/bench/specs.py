"""Isolation specs against PostgreSQL's isolationtester and pg_isolation_regress, on one server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from pgchaos.engine.specs import SpecSettings, run_spec
from pgchaos.isolation.grammar import read
from pgchaos.server import ServerSettings, open_server
from pgchaos.server.binaries import embedded_bindir
from pgchaos.server.server import Server
from tests.bench.measure import Absent, Line, alone, compared
from tests.bench.work import environment, own_server, program, pytest_run, workplace

_TIMES = 50
_SPEC = """
setup {{ CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0); }}
teardown {{ DROP TABLE t; }}
session a
setup {{ BEGIN; }}
step a1 {{ SELECT v FROM t WHERE id = 1; }}
step a2 {{ UPDATE t SET v = v + 1 WHERE id = 1; }}
step a3 {{ COMMIT; }}
session b
setup {{ BEGIN; }}
step b1 {{ SELECT v FROM t WHERE id = 1; }}
step b2 {{ UPDATE t SET v = v + 1 WHERE id = {row}; }}
step b3 {{ COMMIT; }}
"""
_PERMUTATION = "permutation a1 b1 a2 b2 a3 b3\n"
_SUITE = "PostgreSQL's schedule of isolation specs against pg_isolation_regress"


def lines(folder: Path) -> Iterator[Line]:
    """Measure permutations, how soon a wait is found, and PostgreSQL's suite where its source is."""
    with workplace(folder, "specs") as place:
        with own_server() as server:
            try:
                yield _permutations(server, place, "without a lock wait", row=2, under=0.7)
                yield _permutations(server, place, "with one lock wait", row=1, under=0.3)
            except Absent as absent:
                yield Line("a six-step permutation against isolationtester", skipped=str(absent))
            what = "a lock wait of an isolation spec: launch to report"
            yield alone(what, _detection(server, place), "ms", under=2, server=server, each=_TIMES)
        try:
            yield _suite(place)
        except Absent as absent:
            yield Line(_SUITE, skipped=str(absent))


def _tester(bindir: Path, name: str) -> Path:
    program = bindir.parent / "lib/pgxs/src/test/isolation" / name
    if not program.exists():
        raise Absent(f"{program} is not there (apt-get install postgresql-server-dev-…)")
    return program


def _permutations(server: Server, place: Path, what: str, *, row: int, under: float) -> Line:
    assert server.private is not None, "the server is ours"
    tester = _tester(server.private.bindir, "isolationtester")
    path = place / f"row{row}.spec"
    path.write_text(_SPEC.format(row=row) + _PERMUTATION * _TIMES, encoding="utf-8")
    with server.spec_database() as spec_database:

        def theirs() -> float:
            command = ["/bin/sh", "-c", f'"{tester}" "$0" < {path.name}', spec_database.sandbox.conninfo]
            return 1000 * program(command, place).seconds / _TIMES

        def ours() -> float:
            return _milliseconds(server, path) / _TIMES

        name = f"a six-step permutation {what} against isolationtester"
        return compared(name, ours, theirs, "ms", under=under, server=server, each=_TIMES)


def _milliseconds(server: Server, path: Path) -> float:
    begun = time.perf_counter()
    result = run_spec(read(path), server, SpecSettings())
    if result.problems:
        raise RuntimeError(result.problems[0])
    return 1000 * (time.perf_counter() - begun)


def _detection(server: Server, place: Path) -> Callable[[], float]:
    """Compare specs that differ in one step: one waits for a lock, and the other takes it where it is free."""
    paths = []
    for name, order in (("free", "a2 a3 b2 b3"), ("waits", "a2 b2 a3 b3")):
        path = place / f"{name}.spec"
        path.write_text(_SPEC.format(row=1) + f"permutation {order}\n" * _TIMES, encoding="utf-8")
        paths.append(path)
    return lambda: max(0.0, _milliseconds(server, paths[1]) - _milliseconds(server, paths[0])) / _TIMES


def _suite(place: Path) -> Line:
    named = os.environ.get("PG_SRC")
    if not named:
        raise Absent("its source is not there (apt-get source postgresql-15, and PG_SRC=…/postgresql-15.18)")
    bindir = Path(os.environ["PG_BINDIR"]) if os.environ.get("PG_BINDIR") else embedded_bindir()
    source = Path(named).resolve() / "src/test/isolation"
    regress = _tester(bindir, "pg_isolation_regress")
    text = (source / "isolation_schedule").read_text(encoding="utf-8")
    names = [name for line in text.splitlines() if line.startswith("test:") for name in line[5:].split()]
    others = sorted(path for path in (source / "specs").glob("*.spec") if path.stem not in names)
    left_out = [f"--ignore={path}" for path in others]
    with open_server(ServerSettings(pg_bindir=bindir), {}) as server:
        at = {key: str(value) for key, value in conninfo_to_dict(server.conninfo()).items() if value}
        dsn = f"host={at['host']} port={at['port']} user={at['user']} dbname={at['dbname']}"
        env = environment(PGHOST=at["host"], PGPORT=at["port"], PGUSER=at["user"])
        command = [regress, f"--inputdir={source}", f"--outputdir={place}", f"--bindir={bindir}"]

        def theirs() -> float:
            return program([*map(str, command), f"--schedule={source}/isolation_schedule"], place, env).seconds

        def ours() -> float:
            # a folder: of files that are named, pytest lists their whole folder for each
            arguments = ("--chaos-jobs=6", "--chaos-pgtap", str(source / "specs"), *left_out)
            return pytest_run(place, f"--chaos-dsn={dsn}", *arguments).seconds

        return compared(f"{_SUITE} ({len(names)} specs)", ours, theirs, "s", under=0.25, server=server)
