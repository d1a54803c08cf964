"""Ten sessions of `BEGIN; UPDATE …; COMMIT`, against pgbench and against a loop over libpq's PQexec."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server.server import Server
from tests.bench.measure import Absent, Line, compared
from tests.bench.peers import connections, execute
from tests.bench.work import SEED, environment, own_server, program, tool, workplace

SESSIONS, ITERATIONS = 10, 500
STATEMENTS = 3 * SESSIONS * ITERATIONS

_TABLE = f"""CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL DEFAULT 0);
INSERT INTO t SELECT generate_series(1, {SESSIONS});
"""
_SCENARIO = f"""-- Sessions that do not meet
-- chaos:timeout 5min
-- chaos:setup
{_TABLE}-- chaos:session w x {SESSIONS} repeat {ITERATIONS}
BEGIN;
UPDATE t SET v = v + 1 WHERE id = :worker;
COMMIT;
-- chaos:check
SELECT is(sum(v), {SESSIONS * ITERATIONS}::bigint, 'all added') FROM t;
SELECT is(count(*), {STATEMENTS}::bigint, 'all is in the history') FROM chaos.history;
"""
_PGBENCH = r"""\set id :client_id + 1
BEGIN;
UPDATE t SET v = v + 1 WHERE id = :id;
COMMIT;
"""


def lines(folder: Path) -> Iterator[Line]:
    """Measure statements a second."""
    what = f"statements/s of {SESSIONS} sessions, history on, against "
    with own_server() as server, workplace(folder, "statements") as place:
        (place / "ten.sql").write_text(_SCENARIO, encoding="utf-8")
        (place / "pgbench.sql").write_text(_PGBENCH, encoding="utf-8")
        try:
            pgbench = tool("pgbench", "it comes with PostgreSQL")
            yield compared(
                what + "pgbench -c 10 -j 2",
                lambda: _ours(server, place),
                lambda: _pgbench(server, place, pgbench),
                "/s",
                over=0.5,
                server=server,
                each=STATEMENTS,
            )
        except Absent as absent:
            yield Line(what + "pgbench", skipped=str(absent))
        yield compared(
            what + "PQexec in ten threads",
            lambda: _ours(server, place),
            lambda: _bare(server),
            "/s",
            over=0.7,
            server=server,
            each=STATEMENTS,
        )


def _ours(server: Server, place: Path) -> float:
    result = run(read(place / "ten.sql"), {}, server, RunSettings(SEED, timeout=300.0))
    if result.failures:
        raise RuntimeError(result.failures[0].text)
    begun = min(record.started_at or 0.0 for record in result.records)
    return len(result.records) / (max(record.ended_at or 0.0 for record in result.records) - begun)


def _pgbench(server: Server, place: Path, pgbench: str) -> float:
    with server.sandbox(()) as sandbox:
        with server.connect(sandbox.database) as conn:
            conn.execute(_TABLE.encode())
        at = {key: str(value) for key, value in conninfo_to_dict(sandbox.conninfo).items()}
        env = environment(PGHOST=at["host"], PGPORT=at["port"], PGUSER=at["user"])
        command = [pgbench, "-n", "-c", str(SESSIONS), "-j", "2", "-t", str(ITERATIONS), "-f", "pgbench.sql"]
        reported = program([*command, sandbox.database], place, env).out
    # tps "without initial connection time", as is what we count
    return 3 * float(re.findall(r"^tps = ([0-9.]+)", reported, re.MULTILINE)[-1])


def _bare(server: Server) -> float:
    with connections(server, SESSIONS, _TABLE) as opened:
        ready = threading.Barrier(SESSIONS + 1)
        threads = [
            threading.Thread(target=_updates, args=(pg, worker, ready)) for worker, pg in enumerate(opened, start=1)
        ]
        for thread in threads:
            thread.start()
        ready.wait()
        begun = time.perf_counter()
        for thread in threads:
            thread.join()
        return STATEMENTS / (time.perf_counter() - begun)


def _updates(pg: pq.abc.PGconn, worker: int, ready: threading.Barrier) -> None:
    ready.wait()
    update = b"UPDATE t SET v = v + 1 WHERE id = %d" % worker
    for _ in range(ITERATIONS):
        for query in (b"BEGIN", update, b"COMMIT"):
            execute(pg, query)
