"""One scenario of hundreds of sessions: that it works, and what memory it takes here.

Run as a program it is the process whose memory is measured.
"""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from psycopg.conninfo import make_conninfo

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server import ServerSettings, open_server, start_private
from tests.bench.measure import Line, alone
from tests.bench.work import SEED, environment, program, workplace

SESSIONS = 500
_SCENARIO = f"""-- A crowd
-- chaos:timeout 5min
-- chaos:setup
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL DEFAULT 0);
INSERT INTO t SELECT generate_series(1, {SESSIONS});
-- chaos:session w x {SESSIONS} repeat 5
BEGIN;
UPDATE t SET v = v + 1 WHERE id = :worker;
-- chaos:barrier all_are_here
COMMIT;
-- chaos:check
SELECT is(sum(v), {5 * SESSIONS}::bigint, 'all added') FROM t;
"""
_STATUS = Path("/proc/self/status")


def lines(folder: Path) -> Iterator[Line]:
    """Measure it, on a server with connections enough."""
    with workplace(folder, "many") as place, start_private(settings={"max_connections": str(SESSIONS + 50)}) as server:
        path = place / "many.sql"
        path.write_text(_SCENARIO, encoding="utf-8")
        command = [sys.executable, "-m", "tests.bench.many", str(path), make_conninfo(**server.parameters)]
        env = environment(PYTHONPATH=str(Path(__file__).parents[2]))

        def megabytes() -> float:
            return float(program(command, place, env).out)

        what = f"one scenario of {SESSIONS} sessions that meet at a barrier five times: peak memory of the client"
        yield alone(what, megabytes, "MB", under=200, server=server)


def _main(path: str, dsn: str) -> None:
    with open_server(ServerSettings(dsn=dsn, clones=1)) as server:
        result = run(read(Path(path)), {}, server, RunSettings(SEED, timeout=300.0))
    if result.failures:
        raise RuntimeError(result.failures[0].text)
    print(_peak())


def _peak() -> float:
    if _STATUS.exists():
        # getrusage counts what the process held before its exec too, which is its parent's
        found = re.search(r"^VmHWM:\s*(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
        assert found is not None, "proc(5) promises it"
        return int(found[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) counts bytes there
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    _main(*sys.argv[1:])
