"""One search for one race in one client, and what came of it as a line."""

from __future__ import annotations

import re
import resource
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server
from tests.clients.in_threads import in_threads
from tests.clients.races import Client
from tests.clients.scenarios import scenario


def searched(
    server: Server, folder: Path, client: Client, race: str, form: str, *, seed: int, runs: int, threads: bool
) -> dict[str, Any]:
    """Make one search, and run again what it found.

    Args:
        server: where.
        folder: for the scenario.
        client: whose programs are the sessions.
        race: one of RACES.
        form: racy or repaired.
        seed: of the search.
        runs: at most.
        threads: the sessions are functions in threads.

    Returns:
        `runs` until it found something, `made` with those that made it easier to read; `steps` of the order that it
        reports, and `turns` from one session to the other in it; whether that order, run again, went the same way.
    """
    path = folder / f"{race}.sql"
    path.write_text(scenario(client, race, form, runs), encoding="utf-8")
    read_one, made = read(path, path.name), 0
    if threads:
        read_one = in_threads(read_one, client.name, race, form)

    def ran(_result: RunResult, _limit: int) -> None:
        nonlocal made
        made += 1

    settings = RunSettings(seed, ran=ran)
    began, used = time.monotonic(), _used()
    result = run(read_one, {}, server, settings)
    seconds, processor = time.monotonic() - began, _used() - used
    row: dict[str, Any] = {
        **_failures(result),
        "runs": result.explored.runs if result.explored is not None else None,
        "made": made,
        "steps": len(result.order),
        "turns": _turns(result),
        "seconds": round(seconds, 2),
        "processor": round(processor, 2),
        "notes": [*map(str, result.notes), *map(str, result.remarks)],
    }
    if result.failures:
        again = run(read_one, {}, server, replace(settings, replay=Replay(result.decisions or ())))
        same = _failures(again) == _failures(result) and _order(again) == _order(result) and not again.notes
        row["replayed"] = "the same" if same else {**_failures(again), "order": _order(again), "notes": again.notes}
        if not same:
            row["order"] = _order(result)
    return row


def _failures(result: RunResult) -> dict[str, Any]:
    # the numbers of backends and transactions differ from run to run
    why = [[re.sub(r"(?<=rocess |action )\d+", "…", line) for line in failure.details] for failure in result.failures]
    return {"failed": [failure.text for failure in result.failures], "why": why}


def _order(result: RunResult) -> list[tuple[str, int, str]]:
    return [(launch.session, launch.worker, launch.step) for launch in result.order]


def _turns(result: RunResult) -> int:
    names = [(launch.session, launch.worker) for launch in result.order]
    return sum(one != other for one, other in pairwise(names))


def _used() -> float:
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(found.ru_utime + found.ru_stime for found in map(resource.getrusage, kinds))
