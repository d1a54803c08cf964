"""Searches for six races in each client: `python -m tests.clients SEEDS [CLIENT…]`, a line of JSON for each search.

`--repaired` runs the repaired forms instead, which must be green. `--threads` runs functions in threads instead of
programs, of the clients in Python. `--into FILE` adds the lines to a file, and makes no search whose line is there:
what was broken off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgchaos.server import ServerSettings, open_server
from tests.clients.in_threads import PLAYS
from tests.clients.races import CLIENTS, RACES
from tests.clients.scenarios import RUNS
from tests.clients.searching import searched

GREEN_RUNS = 12
"""Runs of a repaired form: it is not searched for what is not there in as many as a race may take."""


def main() -> None:
    """Search, all clients with one seed before the next seed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("seeds", type=int)
    options.add_argument("clients", nargs="*", help="all without any")
    options.add_argument("--repaired", action="store_true")
    options.add_argument("--threads", action="store_true")
    options.add_argument("--runs", type=int, help=f"of a search; {RUNS}, and {GREEN_RUNS} of the repaired forms")
    options.add_argument("--into", type=Path)
    chosen = options.parse_args()
    form = "repaired" if chosen.repaired else "racy"
    runs = chosen.runs or (GREEN_RUNS if chosen.repaired else RUNS)
    done, say = _lines(chosen.into)
    # the programs may be compiled once, whatever this process was told
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    clients = [client for client in CLIENTS if not chosen.clients or client.name in chosen.clients]
    clients = [client for client in clients if not chosen.threads or client.name in PLAYS]
    with tempfile.TemporaryDirectory() as folder, open_server(ServerSettings()) as server:
        for client in clients:
            if lacks := client.lacks():
                say({"client": client.name, "skipped": lacks})
        clients = [client for client in clients if not client.lacks()]
        for seed, client, race in ((s, c, r) for s in range(1, chosen.seeds + 1) for c in clients for r in RACES):
            search = {"client": client.name, "race": race, "form": form, "seed": seed}
            if tuple(search.values()) not in done:
                os.environ.update(client.env)
                how = {"seed": seed, "runs": runs, "threads": chosen.threads}
                say(search | searched(server, Path(folder), client, race, form, **how))


def _lines(path: Path | None) -> tuple[set[tuple[Any, ...]], Callable[[dict[str, object]], None]]:
    """Find which searches a file has, and how to write the next line."""
    if path is None:
        return set(), lambda row: print(json.dumps(row), flush=True)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    done = {(row["client"], row["race"], row["form"], row["seed"]) for row in rows if "race" in row}

    def say(row: dict[str, object]) -> None:
        with path.open("a", encoding="utf-8") as file:
            print(json.dumps(row), file=file)

    return done, say


if __name__ == "__main__":
    main()
