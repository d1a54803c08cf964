"""The settings of a spec's run and of its connections."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from pgchaos.server.conninfo import with_settings
from pgchaos.stop import Stop

STEP_TIMEOUT = 300.0
"""Seconds, the default of isolationtester (PostgreSQL 15; 360 in 18)."""

_SETTINGS = {
    "DateStyle": "Postgres, MDY",
    "TimeZone": "America/Los_Angeles",
    "IntervalStyle": "postgres_verbose",
}
"""The settings of pg_isolation_regress (initialize_environment in pg_regress.c)."""
_FOR_SUPERUSERS = {"lc_messages": "C"}
"""Its settings for the database, which need a superuser."""


@dataclass(frozen=True, slots=True)
class SpecSettings:
    """The settings of a spec's run."""

    step_timeout: float = STEP_TIMEOUT  # seconds until a step is cancelled; after twice as long the permutation ends
    limit: float | None = None  # seconds for the whole file (a test runner's timeout)
    stop: Stop | None = None  # ends the run
    leaks: bool = False  # keep settings, open transactions and so on between permutations, as isolationtester does
    # called after a permutation with the output, once the state of a session was reset; False ends the run
    useful: Callable[[str], bool] | None = None
    load_extensions: tuple[str, ...] = ()  # created in the database before the run, in this order
    alone: bool = False  # nothing else of ours runs on the server: wait until earlier sessions have left it


def step_timeout(option: float | None) -> float:
    """Return the seconds that a step may take.

    Args:
        option: of the user, in seconds, or None.

    Returns:
        The option, or isolationtester's environment variable (up to PostgreSQL 15, from 16 on), or its default.
    """
    if option is not None:
        return option
    for name, factor in (("PGISOLATIONTIMEOUT", 1), ("PG_TEST_TIMEOUT_DEFAULT", 2)):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value):
            return float(factor * int(value))
    return STEP_TIMEOUT


def conninfo_of(base: str, name: str, *, superuser: bool) -> str:
    """Write the connection string of a spec's connection; RESET restores its settings."""
    settings = {**_SETTINGS, **(_FOR_SUPERUSERS if superuser else {})}
    return with_settings(base, settings, application_name=name)
