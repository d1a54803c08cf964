"""Playing a scenario from its text, and asking its result."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pgchaos.engine import Settings, run
from pgchaos.history import Failure, Record, RunResult
from pgchaos.scenario.reader import read
from pgchaos.server import Server
from tests.waiting import until


@dataclass(frozen=True, slots=True)
class Play:
    """Plays scenarios.

    Args:
        server: where.
        folder: for their files.
    """

    server: Server
    folder: Path

    def __call__(self, text: str, seed: int = 1, timeout: float = 30.0, **variables: str) -> RunResult:
        """Play a scenario.

        Args:
            text: of its file; indentation that all lines share is taken off.
            seed: of everything random.
            timeout: seconds for each part, where the text says none.
            variables: the values of its matrix.
        """
        path = self.folder / "scenario.sql"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return run(read(path, "scenario.sql"), variables, self.server, Settings(seed, timeout))


def held(result: RunResult) -> list[str]:
    """Name the assertions that held; the run had no failure besides."""
    assert not result.failures, result.failures
    return [assertion.name for assertion in result.assertions if assertion.ok]


def only(result: RunResult) -> Failure:
    """Give the one failure of a run."""
    assert len(result.failures) == 1, result.failures
    return result.failures[0]


def said(result: RunResult, session: str, worker: int = 1) -> list[Record]:
    """Give the records of one connection in order."""
    return [r for r in result.records if (r.session, r.worker) == (session, worker)]


def outcomes(result: RunResult, session: str) -> list[tuple[int, int, bool, str, str | None]]:
    """Give the transactions of a session: worker, attempt, block, outcome, sqlstate."""
    return [(t.worker, t.attempt, t.block, t.outcome, t.sqlstate) for t in result.transactions if t.session == session]


def texts(records: list[Record]) -> list[str]:
    """Give their statements."""
    return [record.statement for record in records]


@contextmanager
def stranger(server: Server, key: int) -> Iterator[None]:
    """Connect to a scenario's database from outside once its session named ready sleeps, take a lock and wake it."""

    def waiting() -> str | None:
        with server.connect() as conn:
            row = conn.execute(
                "SELECT datname FROM pg_stat_activity WHERE application_name = 'ready[1]' AND wait_event = 'PgSleep'"
            ).fetchone()
        return None if row is None else str(row[0])

    over = threading.Event()

    def hold() -> None:
        database = until(waiting, "a session named ready sleeps")
        with psycopg.connect(server.conninfo(database), application_name="a stranger", autocommit=True) as conn:
            conn.execute("SELECT pg_advisory_lock(%s)", [key])
            conn.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'ready[1]' AND wait_event = 'PgSleep'"
            )
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
