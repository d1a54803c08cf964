"""Waits until what ran before on a server is over: who must be alone there is not to count it."""

from __future__ import annotations

import time

from pgchaos.engine.connection import Connection
from pgchaos.server.run_id import APPLICATION
from pgchaos.stop import Stop

_LIMIT = 10.0
"""Seconds; whoever is there then will stay."""
_AGAIN = 0.005
"""Seconds between looks: backends end without a word."""
_OTHERS = (
    "SELECT count(*) FROM pg_catalog.pg_stat_get_activity(NULL) a JOIN pg_catalog.pg_database d ON d.oid = a.datid"
    " WHERE pg_catalog.starts_with(d.datname, '{}') AND a.pid <> pg_catalog.pg_backend_pid()"
    " AND a.backend_type = 'client backend'"
    " AND NOT pg_catalog.starts_with(a.application_name, '{}')"
)
"""Those that last as long as the run are not waited for."""


def await_end_of_others(connection: Connection, databases: str, stop: Stop) -> None:
    """Wait until nobody else is connected to the databases of a run.

    A connection that was closed leaves its backend behind for a moment, in which it is seen and counted.
    """
    end = time.monotonic() + _LIMIT
    query = _OTHERS.format(databases, APPLICATION)
    while databases and time.monotonic() < end:
        answer = connection.ask(query, deadline=end)
        # a server that does not answer is told of by who asks it next
        if answer.error is not None or answer.interrupted or ("0",) in answer.results[0].rows():
            return
        if stop.wait(_AGAIN):
            return
