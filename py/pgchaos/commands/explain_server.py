"""Asks a server what the setup of a scenario makes: for `pgchaos explain --server`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pgchaos.commands.errors import CommandError
from pgchaos.commands.known_by_text import Fact
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.run_once import run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Scenario
from pgchaos.search.touched_relations import database_facts, newest_function
from pgchaos.server import ServerError, ServerSettings, open_server
from pgchaos.server.settings import Conninfo


class _Examiner:
    """Looks at the database before and after setup."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self._newest = 0

    def before(self, connection: Connection) -> None:
        """Note which functions are there already."""
        self._newest = newest_function(connection)

    def after(self, connection: Connection) -> None:
        """Examine what setup has made."""
        self.facts = database_facts(connection, self._newest)


def facts_of_server(
    scenario: Scenario, variables: Mapping[str, str], dsn: str, bindir: str | None
) -> tuple[str, list[Fact]]:
    """Run the setup of a scenario, without its sessions, on a server of `dsn`, or on a private one where it is ''.

    Gives what the server calls itself, and facts as `touched_relations.known_from` takes them. Raises CommandError.
    """
    settings = ServerSettings(dsn=Conninfo(dsn) if dsn else None, pg_bindir=Path(bindir) if bindir else None)
    only_setup = replace(
        scenario, sessions=(), invariants=(), checks=(), state=(), mutants=(), oracle=None, plain=False
    )
    examiner = _Examiner()
    try:
        with open_server(settings) as server:
            missing = "; ".join(filter(None, map(server.missing, scenario.requires)))
            if missing and scenario.sandbox != "server":
                raise CommandError(f"setup cannot run on this server: {missing}")
            result = run_once(only_setup, variables, server, RunSettings(secrets.randbelow(2**31)), inspector=examiner)
            banner = server.banner
    except (ServerError, ConnectionLost) as error:
        # pytest's options, as they are called here
        text = str(error).replace("--chaos-dsn", "--server").replace("--chaos-pg-bindir", "--pg-bindir")
        raise CommandError(text) from None
    if result.failures:
        raise CommandError(f"setup fails: {result.failures[0].place or ''} {result.failures[0].text}")
    return banner, examiner.facts
