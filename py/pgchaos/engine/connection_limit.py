"""Checks before a run that its server allows as many connections as the scenario has."""

from __future__ import annotations

from collections.abc import Mapping

from pgchaos.language.header_model import applies
from pgchaos.language.model import Scenario
from pgchaos.results import Failure
from pgchaos.server import Server
from pgchaos.server.private import MOST_CONNECTIONS

_FEW = 40
"""Connections that any server allows, without asking it."""


def too_many(scenario: Scenario, variables: Mapping[str, str], server: Server) -> Failure | None:
    """Compare the connections of a scenario with those that its server allows.

    Returns:
        A failure, at the session with the most connections; None if there may be room for all.

    Raises:
        pgchaos.server.ServerError: the server cannot be asked.
    """
    wanted = scenario.connections
    if wanted <= _FEW:
        return None
    own = scenario.sandbox == "server"
    most = _own(scenario, variables) if own else server.most_connections()
    if wanted <= most:
        return None
    most_of = max(scenario.sessions, key=lambda session: session.count)
    other = "" if own else ", or have a server of its own: `-- chaos:sandbox server`"
    more = f"`-- chaos:server max_connections = {wanted + 10}`"
    text = (
        f"the sessions have {wanted:,} connections, and the server takes {most:,} at most (max_connections): "
        f"write a smaller `x N`{other}{' and' if other else ', or'} {more}"
    )
    return Failure("error", (), text, most_of.place)


def _own(scenario: Scenario, variables: Mapping[str, str]) -> int:
    for setting in scenario.server:
        if setting.name.lower() == "max_connections" and applies(setting.when, variables) and setting.value.isdigit():
            return int(setting.value)
    return MOST_CONNECTIONS
