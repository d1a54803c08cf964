"""Destructive scenarios run on servers of our own, and on others only where that was allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.server import Server, ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import Play, held, said

HARM = {
    "kill": "-- chaos:fault kill\n-- chaos:expect 08006\nSELECT 1;\n",
    "fill": "-- chaos:fault fill connections during\nSELECT 1;\n",
}
CHECK = "-- chaos:check\nSELECT pass('checked');\n"


def alone(harm: str) -> str:
    return f"-- chaos:alone\n-- chaos:session a\n{HARM[harm]}{CHECK}"


def born(server: Server) -> str:
    query = "SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    with server.connect() as conn:
        row = conn.execute(query).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("harm", HARM)
def test_a_server_that_is_not_ours_is_not_harmed(foreign_server: ForeignServer, tmp_path: Path, harm: str) -> None:
    with open_server(ServerSettings(dsn=foreign_server.dsn)) as server:
        before = born(server)
        result = Play(server, tmp_path)(alone(harm))
        assert "permit harm to this one with --chaos-allow-destructive postgres" in result.skipped
        assert not result.records
        assert born(server) == before


def test_unless_its_database_was_named_for_that(foreign_server: ForeignServer, tmp_path: Path) -> None:
    with open_server(ServerSettings(dsn=foreign_server.dsn, allow_destructive=("postgres",))) as server:
        before = born(server)
        result = Play(server, tmp_path)(alone("kill"))
        assert held(result) == ["checked"]
        assert [record.fault for record in said(result, "a")] == ["kill"]
        assert born(server) != before


def test_sessions_of_the_scenario_may_be_terminated_by_an_ordinary_role(
    foreign_server: ForeignServer, tmp_path: Path
) -> None:
    dsn = foreign_server.role("plain_terminator")
    with open_server(ServerSettings(dsn=dsn)) as server:
        body = "-- chaos:session a\n-- chaos:fault terminate\n-- chaos:expect 57P01\nSELECT 1;\n"
        assert held(Play(server, tmp_path)(body + CHECK)) == ["checked"]


def test_beside_a_server_that_is_not_ours_a_scenario_has_its_own(foreign_server: ForeignServer, tmp_path: Path) -> None:
    with open_server(ServerSettings(dsn=foreign_server.dsn)) as server:
        before = born(server)
        body = "-- chaos:sandbox server\n-- chaos:session a\n-- chaos:fault crash\n-- chaos:expect 08006\nSELECT 1;\n"
        result = Play(server, tmp_path)(body + CHECK)
        assert held(result) == ["checked"]
        assert result.server.endswith("a private server of the scenario's own")
        assert born(server) == before


def test_on_the_common_server_of_our_own_it_is_delivered_alone(play_own: Play) -> None:
    before = born(play_own.server)
    assert held(play_own(alone("kill"))) == ["checked"]
    assert born(play_own.server) != before
    assert held(play_own(alone("fill"))) == ["checked"]
