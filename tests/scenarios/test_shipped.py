"""The scenarios that we ship: each says where it comes from, and its mutants are caught for what they change.

That each passes with time to spare, and that its mutants are caught, the scenarios' own run shows: `make check` runs
them with `--chaos-mutants` and the plugin `with_time_to_spare.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.race_notes import unsteered
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Mutant, Scenario, Session
from pgchaos.language.mutation import mutants_in_force, mutated
from pgchaos.language.reader import read, variants
from pgchaos.language.section_items import Statement
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server, ServerSettings, open_server, start_private
from pgchaos.verdict import is_named
from tests.often import often

SQL = Path(__file__).parents[2] / "sql"
SEED = 1


@pytest.fixture(
    scope="module", params=sorted(SQL.rglob("*.sql")), ids=lambda path: path.relative_to(SQL).with_suffix("").as_posix()
)
def shipped(request: pytest.FixtureRequest) -> Scenario:
    return read(request.param, request.param.relative_to(SQL.parent).as_posix())


@pytest.fixture(
    scope="module",
    params=sorted(SQL.rglob("*.sql"))[often(4, 0) :: often(6, 1)],
    ids=lambda path: path.relative_to(SQL).with_suffix("").as_posix(),
)
def sampled(request: pytest.FixtureRequest) -> Scenario:
    """One of six, and of all where tests run often."""
    return read(request.param, request.param.relative_to(SQL.parent).as_posix())


def played(scenario: Scenario, variables: Mapping[str, str], server: Server) -> RunResult:
    result = run(scenario, variables, server, RunSettings(SEED))
    if result.skipped:
        pytest.skip(result.skipped)
    return result


def caught(mutant: Mutant, result: RunResult) -> bool:
    failures = result.failures
    return all(any(is_named(failure, name) for failure in failures) for name in mutant.caught_by)


def reported(result: RunResult) -> str:
    return "; ".join(failure.text for failure in result.failures) or "nothing failed"


def test_it_says_what_it_shows_and_where_that_is_reported(shipped: Scenario) -> None:
    assert shipped.title
    assert shipped.tags
    assert re.search(r"^-- Reference: \S", shipped.source, re.MULTILINE)


def test_something_makes_its_sessions_meet(shipped: Scenario) -> None:
    assert not any(unsteered(shipped, variables) for variables in variants(shipped))


def test_each_of_its_mutants_is_run(shipped: Scenario) -> None:
    in_force = {m.name for variables in variants(shipped) for m in mutants_in_force(shipped, variables)}
    assert in_force
    assert in_force == {mutant.name for mutant in shipped.mutants}


def test_a_mutant_that_changes_nothing_is_not_caught(sampled: Scenario, private_server: Server) -> None:
    variables, mutant = next((v, m) for v in variants(sampled) for m in mutants_in_force(sampled, v))
    itself = mutated(sampled, replace(mutant, items=(), replaces=(), sessions=sampled.sessions))
    assert reported(played(itself, variables, private_server)) == "nothing failed"


def test_a_mutant_with_a_syntax_error_is_not_caught(sampled: Scenario, private_server: Server) -> None:
    variables, mutant = next((v, m) for v in variants(sampled) for m in mutants_in_force(sampled, v))
    written_here = [session for session in sampled.sessions if session.program is None]
    for session in written_here:
        slip = mutated(sampled, replace(mutant, items=(), replaces=(), sessions=(misspelt(session),)))
        result = played(slip, variables, private_server)
        assert [failure.kind for failure in result.failures] == ["error"], reported(result)
        assert [m.name for m in sampled.mutants if caught(m, result)] == []


def test_a_server_without_prepared_transactions_is_reported_what_it_takes() -> None:
    scenario = read(SQL / "transactions/orphaned_prepared_transaction.sql")
    with start_private(settings={"max_prepared_transactions": "0"}) as private:
        dsn = make_conninfo(**private.parameters)
        with open_server(ServerSettings(dsn=dsn)) as server:
            result = run(scenario, {}, server, RunSettings(SEED))
    assert "max_prepared_transactions above 0 and a restart" in result.skipped


def misspelt(session: Session) -> Session:
    slip = Statement(session.place, "SELEC 1", ("SELEC 1",), "SELEC", session.steps[0])
    return replace(session, items=(slip, *session.items))
