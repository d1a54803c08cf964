"""Checks before a run that its server allows as many connections as the scenario has, and explains other limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pgchaos.language.header_model import applies
from pgchaos.language.model import Scenario
from pgchaos.results import Failure, RunResult
from pgchaos.server import Server
from pgchaos.server.private import MOST_CONNECTIONS

_FEW = 40
"""Connections that any server allows, without asking it."""
_OURS = 8
"""Connections of pgchaos itself beside the sessions of one scenario, at most."""
_LIMITED = re.compile(r'too many connections for (?P<kind>role|database) (?P<name>".+")')


def explain_limit(result: RunResult, scenario: Scenario) -> RunResult:
    """Add to the first failure by the connection limit of a role or a database how many connections it must allow."""
    for at, one in enumerate(result.failures):
        if found := _LIMITED.search(one.text):
            most = scenario.connections + _OURS
            needs = (
                f"it takes up to {most} connections, {scenario.connections} of its sessions and {_OURS} of pgchaos: "
                f"ALTER {found['kind'].upper()} {found['name']} CONNECTION LIMIT {most}"
            )
            explained = replace(one, details=(*one.details, needs))
            return replace(result, failures=[*result.failures[:at], explained, *result.failures[at + 1 :]])
    return result


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
