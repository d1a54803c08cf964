"""Files of pgTAP on a server that stands: small plain ones, and pgTAP's own suite."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from pgchaos.language.plain_files import Contents
from pgchaos.server.server import Server
from tests.bench.measure import Absent, Line, compared
from tests.bench.work import environment, own_server, program, pytest_run, tool, workplace

FILES = 200
_FILE = """BEGIN;
SELECT plan(1);
SELECT ok({number} > 0, 'number {number}');
SELECT * FROM finish();
ROLLBACK;
"""
IN_PLACE = 40
_OF_AN_EXTENSION = """\\set ON_ERROR_ROLLBACK 1
\\set ON_ERROR_STOP true
BEGIN;
SELECT set_config('search_path', 'public, pg_catalog', false);
SELECT plan({plan});
CREATE SCHEMA parts_{number};
CREATE TABLE parts_{number}.event (id int NOT NULL, day int NOT NULL) PARTITION BY RANGE (day);
DO $$ BEGIN
    FOR day IN 0..{last} LOOP
        EXECUTE format('CREATE TABLE parts_{number}.event_%s PARTITION OF parts_{number}.event'
            ' FOR VALUES FROM (%s) TO (%s)', day, day, day + 1);
    END LOOP;
END $$;
INSERT INTO parts_{number}.event SELECT n, n % {parts} FROM generate_series(1, 100) n;
{assertions}
SELECT is_empty('SELECT * FROM parts_{number}.event WHERE day > {last}', 'none is later');
SELECT results_eq('SELECT count(*)::int FROM parts_{number}.event', ARRAY[100], 'all are there');
SELECT * FROM finish();
ROLLBACK;
"""
"""As the tests of an extension of partitions are: named, one after the other, in a database that has it."""
_OF_A_DAY = """SELECT has_table('parts_{number}', 'event_{day}', 'day {day}');
SELECT isnt_empty('SELECT * FROM parts_{number}.event_{day}', 'day {day} has some');
SELECT is(count(*) > 0, true, 'day {day} is counted') FROM parts_{number}.event_{day};
"""
PARTS = 30
GET_PG_PROVE = "apt-get install libtap-parser-sourcehandler-pgtap-perl, or cpan TAP::Parser::SourceHandler::pgTAP"
_GET_PYTEST_PGTAP = "pip install pytest pytest-pgtap in an environment of its own, and PYTEST_PGTAP=…/bin/pytest"


def lines(folder: Path) -> Iterator[Line]:
    """Measure plain pgTAP files."""
    what = f"{FILES} pgTAP files of one assertion against "
    with own_server() as server, workplace(folder, "files") as place, _database(server) as (dsn, env):
        (place / "t").mkdir()
        for number in range(1, FILES + 1):
            (place / f"t/test_{number}.sql").write_text(_FILE.format(number=number), encoding="utf-8")
        names = sorted(f"t/{path.name}" for path in (place / "t").glob("*.sql"))

        def ours(*, plugins: bool = True) -> float:
            ran = pytest_run(place, f"--chaos-dsn={dsn}", "--chaos-pgtap", "t", plugins=plugins)
            _expect(f"{FILES} passed", ran.out)
            return ran.seconds

        def pgtap() -> float:
            ran = program([pytest, "-q", "-p", "no:cacheprovider", "--pgtap-uri", dsn, "t"], place)
            _expect(f"{FILES} passed", ran.out)
            return ran.seconds

        try:
            yield compared(
                what + "pg_prove", ours, _pg_prove(place, names, env), "s", under=0.45, server=server, each=FILES
            )
        except Absent as absent:
            yield Line(what + "pg_prove", skipped=str(absent))
        pytest = os.environ.get("PYTEST_PGTAP", "")
        if shutil.which(pytest):
            # its environment has no other plugins either
            lean = partial(ours, plugins=False)
            yield compared(what + "pytest-pgtap", lean, pgtap, "s", under=1.0, server=server, each=FILES)
        else:
            yield Line(what + "pytest-pgtap", skipped=f"it is not installed ({_GET_PYTEST_PGTAP})")
        yield _in_place(server, place, dsn, env)


def _in_place(server: Server, place: Path, dsn: str, env: dict[str, str]) -> Line:
    """Measure larger files that are named, in the database itself, which runs one at a time."""
    plan = 3 * PARTS + 2
    what = f"{IN_PLACE} pgTAP files of {plan} assertions and {PARTS + 1} tables, named, in place, against pg_prove"
    (place / "e").mkdir()
    for number in range(1, IN_PLACE + 1):
        assertions = "".join(_OF_A_DAY.format(number=number, day=day) for day in range(PARTS))
        numbers = {"number": number, "plan": plan, "parts": PARTS, "last": PARTS - 1}
        text = _OF_AN_EXTENSION.format(assertions=assertions, **numbers)
        (place / f"e/test_{number}.sql").write_text(text, encoding="utf-8")
    names = sorted(f"e/{path.name}" for path in (place / "e").glob("*.sql"))

    def ours() -> float:
        ran = pytest_run(place, f"--chaos-dsn={dsn}", "--chaos-in-place", *names)
        _expect(f"{IN_PLACE} passed", ran.out)
        return ran.seconds

    try:
        return compared(what, ours, _pg_prove(place, names, env), "s", under=1.0, server=server, each=IN_PLACE)
    except Absent as absent:
        return Line(what, skipped=str(absent))


def _pg_prove(place: Path, names: list[str], env: dict[str, str]) -> Callable[[], float]:
    """Give what runs files by pg_prove; Absent where it is not installed."""
    command = [tool("pg_prove", GET_PG_PROVE), "--psql-bin", tool("psql", "it comes with PostgreSQL"), *names]

    def prove() -> float:
        ran = program(command, place, env)
        _expect("Result: PASS", ran.out)
        return ran.seconds

    return prove


@contextmanager
def _database(server: Server) -> Iterator[tuple[str, dict[str, str]]]:
    """Give a database with pgTAP: how to connect to it, and the environment in which libpq's programs find it."""
    with server.sandbox(contents=Contents.PGTAP) as sandbox:
        at = {key: str(value) for key, value in conninfo_to_dict(sandbox.conninfo).items() if value}
        dsn = f"host={at['host']} port={at['port']} user={at['user']} dbname={sandbox.database}"
        more = {"PGHOST": at["host"], "PGPORT": at["port"], "PGUSER": at["user"], "PGDATABASE": sandbox.database}
        yield dsn, environment(**more)


def _expect(text: str, out: str) -> None:
    if text not in out:
        raise RuntimeError(f"'{text}' is not in:\n{out[-3000:]}")
