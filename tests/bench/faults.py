"""How soon a scenario has a server of its own, and how long a crash takes, as a session sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import psycopg

from pgchaos.engine.run_once import run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.server import Server, ServerSettings, open_server
from tests.bench.measure import Line, alone
from tests.bench.work import SEED

_CRASH = """-- A session loses its server, and comes back
-- chaos:sandbox server
-- chaos:session a retry connection_failure
BEGIN;
-- chaos:fault {kind}
SELECT 1;
COMMIT;
-- chaos:check
SELECT pass('it came back');
"""


def own(folder: Path) -> Iterator[Line]:
    """Measure servers of a scenario's own."""
    with open_server(ServerSettings()) as server:
        for _ in range(2):
            _ready(server)  # from now on the next data directory is made in advance, while a scenario runs
        yield alone(
            "a server of a scenario's own, made and ready, while others of 0.2 s run one after the other",
            lambda: _ready(server),
            "ms",
            under=80,
        )
        yield alone(
            "the same without a pause: the median of four, each begun when the one before has been removed",
            lambda: median(_ready(server, 0) for _ in range(4)),
            "ms",
            under=80,
        )
        for kind in ("kill", "crash"):
            what = f"`fault {kind}`, from the fault until the session's next transaction has begun"
            yield alone(what, partial(_back, server, folder, kind), "ms")


def _ready(server: Server, seconds: float = 0.2) -> float:
    """Run in a new server of its own what takes a scenario's time; give the milliseconds until it was ready."""
    begun = time.perf_counter()
    with server.own_server_sandbox((), {}, {}) as sandbox:
        took = (time.perf_counter() - begun) * 1000
        with psycopg.connect(sandbox.conninfo, autocommit=True) as conn:
            conn.execute("SELECT pg_catalog.pg_sleep(%s)", [seconds])
    return took


def _back(server: Server, folder: Path, kind: str) -> float:
    path = folder / f"{kind}.sql"
    path.write_text(_CRASH.format(kind=kind), encoding="utf-8")
    with server.own_server_sandbox((), {}, {}) as sandbox:
        result = run_once(read(path), {}, server, RunSettings(SEED), open_sandbox=lambda: nullcontext(sandbox))
    delivered = next(act.ended_at for act in result.acts if "fault" in act.statement)
    again = next(record.ended_at for record in result.records if record.attempt == 2)
    if result.failures or delivered is None or again is None:
        raise RuntimeError(f"it should have come back: {result.failures}")
    return (again - delivered) * 1000
