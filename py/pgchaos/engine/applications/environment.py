"""The environment variables of a program."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Mapping

from pgchaos.server.programs import program_path

# libpq's, which could select another server, and those of pgchaos, pytest and coverage
_LEFT_OUT = re.compile(r"PG|DATABASE_URL\Z|CHAOS_|PYTEST_|COV_CORE_|COVERAGE_PROCESS_START\Z")
_HASH_SEEDS = 2**32 - 1


def program_environment(
    source: Mapping[str, str], connection: Mapping[str, str], session: str, worker: int, iteration: int, seed: int
) -> dict[str, str]:
    """Make the environment of a program.

    Args:
        source: the environment of this process.
        connection: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD and DATABASE_URL.
        session: the name of the session.
        worker: the number of the worker in the session, from 1.
        iteration: of the session, from 1.
        seed: of everything random.

    Returns:
        `source` without libpq's variables (PG…), DATABASE_URL, and those of pgchaos and pytest; the connection;
        session, worker, iteration and seed (CHAOS_…); the folder of a virtual environment first in PATH; and a fixed
        PYTHONHASHSEED, unless there is one.
    """
    kept = {name: value for name, value in source.items() if not _LEFT_OUT.match(name)}
    if sys.prefix != sys.base_prefix:
        kept["PATH"] = program_path(kept)
        kept["VIRTUAL_ENV"] = sys.prefix
    name = f"{seed}/{session}/{worker}/{iteration}"
    kept.setdefault("PYTHONHASHSEED", str(zlib.crc32(name.encode()) % _HASH_SEEDS))
    return {
        **kept,
        **connection,
        "CHAOS_SESSION": session,
        "CHAOS_WORKER": str(worker),
        "CHAOS_ITERATION": str(iteration),
        "CHAOS_SEED": str(seed),
    }
