"""Races of SQLAlchemy and Django under frontrun: `python frontrun_side.py LIBRARY DSN RUNS LOCK_TIMEOUT FORM [RACE…]`.

Started by beside_frontrun.py with the interpreter of `make clients`. Prints a line of JSON for each race.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import frontrun
import psycopg2

# frontrun 0.7 patches cursors as those of psycopg2 are, and fails with psycopg 3; Django takes what there is
sys.modules["psycopg"] = None  # type: ignore[assignment]  # no module: an import fails
sys.path.insert(0, str(Path(__file__).with_name("programs")))

RESET = """
TRUNCATE account, room, booking, doctor, tag, job, done RESTART IDENTITY;
INSERT INTO account VALUES (1, 100), (2, 100);
INSERT INTO room VALUES (7);
INSERT INTO doctor VALUES (1, true), (2, true);
INSERT INTO job (id) VALUES (1), (2);
"""
HOLDS = {
    "lost_update": "SELECT balance = 120 FROM account WHERE id = 1",
    "check_then_insert": "SELECT count(*) = 1 FROM booking",
    "write_skew": "SELECT bool_or(on_call) FROM doctor",
    "get_or_create": "SELECT count(*) = 1 FROM tag",
    "double_claim": "SELECT count(DISTINCT job) = 2 FROM done",
    "deadlock": "SELECT bool_and(balance = 100) FROM account",
}

Work = Callable[[str, bool, int], None]
LIMIT = 60.0  # seconds for one race


def reset(dsn: str) -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(RESET)
    connection.close()


def holds(dsn: str, race: str) -> bool:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(HOLDS[race])
        row = cursor.fetchone()
    connection.close()
    return bool(row and row[0])


def with_sqlalchemy(dsn: str) -> tuple[Work, Callable[..., Any]]:
    import with_sqlalchemy as program
    from sqlalchemy import NullPool, create_engine

    # each run is of new threads, and a connection of a pool would come from a thread that has ended
    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg2://", 1), poolclass=NullPool)

    return partial(program.play, engine), frontrun.explore


def with_django(dsn: str) -> tuple[Work, Callable[..., Any]]:
    os.environ["DATABASE_URL"] = dsn
    import with_django as program
    from frontrun.contrib.django import django_dpor

    return program.play, lambda workers, **options: django_dpor(threads=workers, **options)


def main() -> None:
    library, dsn, runs, lock_timeout, form, *races = sys.argv[1:]
    work, explore = {"sqlalchemy": with_sqlalchemy, "django": with_django}[library](dsn)
    for race in races or HOLDS:
        began, used = time.monotonic(), time.process_time()
        row: dict[str, Any] = {"library": library, "race": race, "form": form}
        try:
            workers = [partial(work, race, form == "repaired", number) for number in (1, 2)]
            result = explore(
                setup=lambda: reset(dsn),
                workers=[lambda _, one=one: one() for one in workers],
                invariant=lambda _: holds(dsn, race),  # noqa: B023  it is called in this round
                max_executions=int(runs),
                total_timeout=LIMIT,
                lock_timeout=int(lock_timeout) or None,
            )
            row |= {"holds": result.property_holds, "runs": result.num_explored}
            row["says"] = (result.explanation or "").strip()
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {error}"
        row["seconds"] = round(time.monotonic() - began, 2)
        row["processor"] = round(time.process_time() - used, 2)
        print(json.dumps(row), flush=True)


main()
