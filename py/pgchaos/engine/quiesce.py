"""Waits until earlier connections to a server have ended, for a scenario that must be alone on it."""

from __future__ import annotations

import time

from pgchaos.engine.connection import Connection
from pgchaos.server.run_id import APPLICATION
from pgchaos.stop import Stop

_LIMIT = 10.0
"""Seconds; connections that are open then are likely to stay."""
_AGAIN = 0.005
"""Seconds between queries: the server does not report the end of a backend."""
_OTHERS = (
    "SELECT count(*) FROM pg_catalog.pg_stat_get_activity(NULL) a JOIN pg_catalog.pg_database d ON d.oid = a.datid"
    " WHERE pg_catalog.starts_with(d.datname, '{}') AND a.pid <> pg_catalog.pg_backend_pid()"
    " AND a.backend_type = 'client backend'"
    " AND NOT pg_catalog.starts_with(a.application_name, '{}')"
)
"""Excludes connections that last as long as the run."""


def await_end_of_others(connection: Connection, databases: str, stop: Stop) -> None:
    """Wait until there is no other connection to the databases of a run.

    The backend of a closed connection is visible for a moment.
    """
    end = time.monotonic() + _LIMIT
    query = _OTHERS.format(databases, APPLICATION)
    while databases and time.monotonic() < end:
        answer = connection.ask(query, deadline=end)
        # the next query reports a server that does not answer
        if answer.error is not None or answer.interrupted or ("0",) in answer.results[0].rows():
            return
        if stop.wait(_AGAIN):
            return
