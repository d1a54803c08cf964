"""Runs the setup of a scenario on a server and reads what it creates, for `pgchaos explain --server`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pgchaos.commands.errors import CommandError
from pgchaos.commands.facts_from_text import Fact
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.run_once import run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Scenario
from pgchaos.search.touched_relations import database_facts, newest_function
from pgchaos.server import ServerError, ServerSettings, open_server
from pgchaos.server.settings import Conninfo


class _Inspector:
    """Inspects the database before and after setup."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self._newest = 0

    def before(self, connection: Connection) -> None:
        """Record which functions exist already."""
        self._newest = newest_function(connection)

    def after(self, connection: Connection) -> None:
        """Read what setup has created."""
        self.facts = database_facts(connection, self._newest)


def facts_of_server(
    scenario: Scenario, variables: Mapping[str, str], dsn: str, bindir: str | None
) -> tuple[str, list[Fact]]:
    """Run the setup of a scenario, without its sessions, on the server of `dsn`, or on a private one if it is ''.

    Returns the server's banner, and facts as `touched_relations.known_from` takes them. Raises CommandError.
    """
    settings = ServerSettings(dsn=Conninfo(dsn) if dsn else None, pg_bindir=Path(bindir) if bindir else None)
    only_setup = replace(
        scenario, sessions=(), invariants=(), checks=(), state=(), mutants=(), oracle=None, plain=False
    )
    inspector = _Inspector()
    try:
        with open_server(settings) as server:
            missing = "; ".join(filter(None, map(server.missing, scenario.requires)))
            if missing and scenario.sandbox != "server":
                raise CommandError(f"setup cannot run on this server: {missing}")
            result = run_once(only_setup, variables, server, RunSettings(secrets.randbelow(2**31)), inspector=inspector)
            banner = server.banner
    except (ServerError, ConnectionLost) as error:
        # this command has other option names than pytest
        text = str(error).replace("--chaos-dsn", "--server").replace("--chaos-pg-bindir", "--pg-bindir")
        raise CommandError(text) from None
    if result.failures:
        raise CommandError(f"setup fails: {result.failures[0].place or ''} {result.failures[0].text}")
    return banner, inspector.facts
