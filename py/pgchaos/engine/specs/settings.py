"""How a spec is to be run, and what its connections begin with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from pgchaos.server.conninfo import with_settings
from pgchaos.stop import Stop

STEP_TIMEOUT = 300.0
"""Seconds, isolationtester's own (PostgreSQL 15; 360 in 18)."""

_SETTINGS = {
    "DateStyle": "Postgres, MDY",
    "TimeZone": "America/Los_Angeles",
    "IntervalStyle": "postgres_verbose",
}
"""What pg_isolation_regress sets: initialize_environment in pg_regress.c."""
_FOR_SUPERUSERS = {"lc_messages": "C"}
"""What it sets for its database, as a superuser."""


@dataclass(frozen=True, slots=True)
class SpecSettings:
    """How a spec is to be run.

    Args:
        step_timeout: seconds after which a step is cancelled; after twice as long its permutation is given up.
        limit: seconds for the whole file (a test runner's own time-out), or None.
        stop: when it is set, the run is brought to an end; or None.
        leaks: let permutations leave settings, open transactions and all else in the sessions, as isolationtester does.
        useful: asked after a permutation, with all that was printed, once something was taken back that one has left;
            False ends the run there. None: it goes on.
        load_extensions: created in its database before it runs, in this order.
        alone: nothing else of ours runs on the server: wait until what ran before has left it.
    """

    step_timeout: float = STEP_TIMEOUT
    limit: float | None = None
    stop: Stop | None = None
    leaks: bool = False
    useful: Callable[[str], bool] | None = None
    load_extensions: tuple[str, ...] = ()
    alone: bool = False


def step_timeout(said: float | None) -> float:
    """Tell how long a step may take.

    Args:
        said: by the user, in seconds; None for isolationtester's own.

    Returns:
        That; else what the environment says to isolationtester of PostgreSQL 15 and earlier, or 16 and later.
    """
    if said is not None:
        return said
    for name, factor in (("PGISOLATIONTIMEOUT", 1), ("PG_TEST_TIMEOUT_DEFAULT", 2)):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value):
            return float(factor * int(value))
    return STEP_TIMEOUT


def conninfo_of(base: str, name: str, *, superuser: bool) -> str:
    """Write the connection string of a connection of a spec; its settings are those that RESET brings back."""
    settings = {**_SETTINGS, **(_FOR_SUPERUSERS if superuser else {})}
    return with_settings(base, settings, application_name=name)
