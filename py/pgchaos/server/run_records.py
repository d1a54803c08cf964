"""What a server knows of a run: its time, and whether the run is over."""

from __future__ import annotations

import psycopg

from pgchaos.server.run_id import RunId

APPLICATION = "pgchaos "
"""Begins the application_name of connections that last as long as a run; its main one's ends with its id."""

CLOCK = "SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())::bigint"
_CONNECTED = "SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = %s"

Connection = psycopg.Connection[tuple[object, ...]]


def clock(conn: Connection) -> int:
    """Ask a server for the time.

    Args:
        conn: to it.

    Returns:
        Seconds since the epoch by its clock.
    """
    (now,) = conn.execute(CLOCK).fetchone() or (0,)
    assert isinstance(now, int)
    return now


def record(conn: Connection, run: RunId) -> str:
    """Write a run down as it lives now, for a comment on what it made.

    Args:
        conn: to the server.
        run: that makes it.

    Returns:
        What `Run.loads` reads.
    """
    return run.at(clock(conn)).dumps()


def is_over(conn: Connection, run: RunId) -> bool:
    """Say whether a run is known to be over.

    Args:
        conn: to the server.
        run: as its record says.

    Returns:
        False where it is connected, or its end is not certain.
    """
    connected = conn.execute(_CONNECTED, [APPLICATION + run.id]).fetchone() is not None
    return not connected and run.is_over(clock(conn))
