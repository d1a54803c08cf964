"""Searches for six races in each client: `python -m tests.clients SEEDS [CLIENT…]`, a line of JSON for each search.

`--repaired` runs the repaired forms instead, which must be green.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server import Server, ServerSettings, open_server
from tests.clients.races import CLIENTS, RACES, Client
from tests.clients.scenarios import RUNS, scenario

GREEN_RUNS = 12
"""Runs of a repaired form: it is not searched for what is not there in as many as a race may take."""


def main(words: list[str]) -> None:
    """Search, all clients with one seed before the next seed."""
    repaired = "--repaired" in words
    seeds, *names = [word for word in words if word != "--repaired"]
    # the programs may be compiled once, whatever this process was told
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    clients = [client for client in CLIENTS if not names or client.name in names]
    with tempfile.TemporaryDirectory() as folder, open_server(ServerSettings()) as server:
        for client in clients:
            if lacks := client.lacks():
                say({"client": client.name, "skipped": lacks})
        for seed in range(1, int(seeds) + 1):
            for client in clients:
                if not client.lacks():
                    os.environ.update(client.env)
                    for race in RACES:
                        say(search(server, Path(folder), client, race, seed, repaired=repaired))


def search(server: Server, folder: Path, client: Client, race: str, seed: int, *, repaired: bool) -> dict[str, object]:
    """Make one search, and give what came of it."""
    path = folder / f"{race}.sql"
    form = "repaired" if repaired else "racy"
    path.write_text(scenario(client, race, form, GREEN_RUNS if repaired else RUNS), encoding="utf-8")
    began, used = time.monotonic(), _used()
    result = run(read(path, path.name), {}, server, RunSettings(seed))
    return {
        "client": client.name,
        "race": race,
        "form": form,
        "seed": seed,
        "failed": [failure.text for failure in result.failures],
        "runs": result.explored.runs if result.explored is not None else None,
        "shrunk": result.shrunk,
        "steps": len(result.order),
        "seconds": round(time.monotonic() - began, 2),
        "processor": round(_used() - used, 2),
        "notes": [str(note) for note in result.notes],
    }


def _used() -> float:
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(found.ru_utime + found.ru_stime for found in map(resource.getrusage, kinds))


def say(row: dict[str, object]) -> None:
    """Print a line."""
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
