"""Runs an item, once or several times, and searches for an order of steps that replays a failed free run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Mutant, Scenario
from pgchaos.report.flakes import Repeats, common_length
from pgchaos.results import RunResult
from pgchaos.runner.progress import REPRODUCING
from pgchaos.search.reproduce import reproduce
from pgchaos.search.strategy import run as run_by_schedule
from pgchaos.server import Server
from pgchaos.server.settings import ServerError
from pgchaos.verdict import judge, judge_mutant

_SEED_BITS = 31
_MOST_PASSING = 10  # stored runs that passed, until one fails and the most similar is chosen


class Repetition(NamedTuple):
    """How often each item is run."""

    runs: int = 1  # of an item
    same_seed: bool = False  # all runs have the first seed; else each has another one derived from it

    def seeds(self, first: int) -> Iterator[int]:
        """Return the seed of each run."""
        chance = random.Random(f"{first}/repeat")
        for number in range(self.runs):
            yield first if number == 0 or self.same_seed else chance.getrandbits(_SEED_BITS)


class ItemRun(NamedTuple):
    """What is run, and how."""

    scenario: Scenario
    mutant: Mutant | None
    variables: Mapping[str, str]
    server: Server
    settings: RunSettings
    show: Callable[[str], None]  # displays in a few words what is done now

    def fails(self, result: RunResult) -> bool:
        """Whether the item fails with this result."""
        if self.mutant is not None:
            return bool(judge_mutant(self.mutant, result).failures)
        return judge(self.scenario, self.variables, result).outcome == "failed"

    def run(self, seed: int) -> RunResult:
        """Run it with a seed."""
        return run_by_schedule(self.scenario, self.variables, self.server, replace(self.settings, seed=seed))

    def with_replay_order(self, result: RunResult) -> RunResult:
        """For a failed free run, search for an order of steps that fails too, and add it for a token."""
        settings = replace(self.settings, seed=result.seed)
        is_free = self.scenario.schedule.kind == "free" and settings.replay is None
        if not is_free or self.mutant is not None or not self.fails(result):
            return result
        # the failure is reported even if the server is lost meanwhile
        with suppress(ServerError):
            variables = {**self.variables, **result.values}
            again = reproduce(self.scenario, variables, self.server, settings, result, lambda: self.show(REPRODUCING))
            return replace(result.joined(notes=again.notes), decisions=again.decisions or result.decisions)
        return result


def run_item(item: ItemRun, repetition: Repetition) -> tuple[RunResult, Repeats | None]:
    """Run an item as often as requested; return the first failed result, else the first, and a summary of all runs."""
    if repetition.runs == 1:
        return item.with_replay_order(item.run(item.settings.seed)), None
    passing: list[tuple[int, RunResult]] = []
    failing: tuple[int, RunResult] | None = None
    seeds: list[int] = []
    number = 0
    for number, seed in enumerate(repetition.seeds(item.settings.seed), 1):
        item.show(f"run {number} of {repetition.runs}" + (f", {len(seeds)} failed" if seeds else ""))
        result = item.run(seed)
        if result.skipped and not result.failures:
            return result, None
        if item.fails(result):
            seeds.append(seed)
            failing = failing or (number, result)
        else:
            passing = _nearest([*passing, (number, result)], failing)
        if result.silent or (item.settings.stop is not None and item.settings.stop.is_set()):
            break
    nearest = _nearest(passing, failing)[:1] if failing and item.scenario.schedule.kind in ("free", "exact") else []
    repeats = Repeats(repetition.runs, number, tuple(seeds), failing, nearest[0] if nearest else None)
    return item.with_replay_order(failing[1] if failing else passing[0][1]), repeats


def _nearest(
    passing: list[tuple[int, RunResult]], failing: tuple[int, RunResult] | None
) -> list[tuple[int, RunResult]]:
    """Keep the run with the longest common beginning with the failed one; several, while none has failed."""
    if failing is None or not passing:
        return passing[:_MOST_PASSING]
    return [max(passing, key=lambda one: common_length(one[1].records, failing[1].records))]
