"""Scenarios that work in place leave alone what others have in that database."""

from __future__ import annotations

from pathlib import Path

import psycopg

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server import ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.server.test_in_place import database_with_pgtap

ROOT = Path(__file__).parents[2]


def test_a_prepared_transaction_of_somebody_else_is_not_taken_for_the_scenarios(foreign_server: ForeignServer) -> None:
    scenario = read(ROOT / "sql/transactions/orphaned_prepared_transaction.sql")
    with database_with_pgtap(foreign_server, "prepares") as dsn, psycopg.connect(dsn, autocommit=True) as other:
        other.execute("BEGIN")
        other.execute("CREATE TABLE order_of_another ()")
        other.execute("PREPARE TRANSACTION 'of another'")
        with open_server(ServerSettings(dsn=dsn, in_place=True)) as server:
            assert run(scenario, {}, server, RunSettings(1, 60.0)).failures == []
        other.execute("COMMIT PREPARED 'of another'")
