"""Planted races with at most two preemptions: each is found and shrunk to its minimum, and its repair is fine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Mutant, Scenario
from pgchaos.language.mutation import mutated
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server
from pgchaos.verdict import is_found
from tests.often import often

RACES = Path(__file__).parent / "races"
SEEDS = often(1, 2)
RUNS = often(25, 60)
"""The bench takes 20 seeds, and 500 runs."""

EASIEST = {
    "check_then_act": "guest[1].1 guest[1].2 guest[2].1 guest[2].2 guest[2].3 guest[2].4 guest[1].3 guest[1].4",
    "cycle_of_three": "planner.1 planner.2 planner.3 builder.1 builder.2 builder.3 "
    "builder.4 tester.1 tester.2 tester.3 tester.4 planner.4",
    "lease": "candidate[1].1 candidate[2].1 candidate[2].2 candidate[2].3 candidate[1].2 candidate[1].3",
    "lock_order": "upward.1 upward.2 downward.1 downward.2 downward.3 upward.3",
    "lost_update": "teller[1].1 teller[1].2 teller[2].1 teller[2].2 teller[2].3 teller[2].4 teller[1].3 teller[1].4",
    "orphan": "adder.1 remover.1 remover.2 adder.2",
    "outbox": "publisher[1].1 publisher[1].2 publisher[1].3 publisher[2].1 publisher[2].2 "
    "publisher[2].3 publisher[2].4 publisher[2].5 publisher[1].4 publisher[1].5",
    "queue_skips": "producer[1].1 producer[1].2 producer[1].3 producer[2].1 producer[2].2 "
    "producer[2].3 producer[2].4 consumer.1 consumer.2 consumer.3 producer[1].4",
    "read_twice": "report.1 report.2 deposit.1 report.3 report.4",
    "trigger_counter": "writer[1].1 writer[1].2 writer[2].1 writer[2].2 writer[1].3 writer[2].3",
    "upsert": "login[1].1 login[2].1 login[2].2 login[1].2",
    "write_skew": "by_card.1 by_card.2 by_card.3 by_cheque.1 by_cheque.2 by_cheque.3 by_cheque.4 by_card.4",
}


def race(name: str) -> tuple[Scenario, Mutant]:
    scenario = read(RACES / f"{name}.sql", f"{name}.sql")
    (mutant,) = scenario.mutants
    return scenario, mutant


def order(scenario: Scenario, result: RunResult) -> str:
    counts = {session.name: session.count for session in scenario.sessions}
    return " ".join(
        f"{one.session}{f'[{one.worker}]' if counts[one.session] > 1 else ''}.{one.step}" for one in result.order
    )


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", sorted(EASIEST))
def test_it_is_found_and_shrunk(name: str, seed: int, private_server: Server) -> None:
    scenario, mutant = race(name)
    racing = mutated(scenario, mutant)
    settings = RunSettings(seed, found=lambda result: is_found(racing, mutant, {}, result))
    result = run(racing, {}, private_server, settings)
    assert is_found(racing, mutant, {}, result), result.explored
    assert order(scenario, result) == EASIEST[name]


@pytest.mark.parametrize("name", sorted(EASIEST))
def test_its_repair_is_fine(name: str, private_server: Server) -> None:
    scenario, _ = race(name)
    short = replace(scenario, schedule=replace(scenario.schedule, limit=RUNS))
    result = run(short, {}, private_server, RunSettings(1))
    assert not result.failures, [failure.text for failure in result.failures]
