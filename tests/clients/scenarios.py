"""The scenario of one client and one race: two of its programs, and a search for an order that fails."""

from __future__ import annotations

import shlex

from tests.clients.races import RACES, TABLES, Client, check_of

RUNS = 200
"""In which a race has to be found."""


def scenario(client: Client, race: str, form: str, runs: int = RUNS) -> str:
    """Write the scenario of a client and a race, racy or repaired, with a search of some runs."""
    command = shlex.join(client.command(race, form)).replace("'", "''")
    return f"""-- {client.name}: {RACES[race][1]} ({race}, {form})
-- chaos:timeout 60s
-- chaos:schedule explore {runs}
-- chaos:setup
{TABLES}
-- chaos:session client x 2 run '{command}' grace 1s
-- chaos:check
{check_of(race)}
"""
