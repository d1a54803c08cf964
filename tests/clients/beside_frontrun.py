"""The races of SQLAlchemy and Django, by pgchaos and by frontrun in turn: `python -m tests.clients.beside_frontrun 3`.

For each race: pgchaos with programs, pgchaos with functions in threads, frontrun; then the next race, and all of it as
often as is said. `--repaired` runs the repaired forms, `--threads` no programs. A line of JSON for each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgchaos.server import Server, ServerSettings, open_server
from tests.clients.races import CLIENTS, PYTHON, RACES, TABLES
from tests.clients.scenarios import RUNS
from tests.clients.searching import searched

SIDE = Path(__file__).with_name("frontrun_side.py")
LIMIT = 120  # seconds for frontrun, with its start


def main() -> None:
    """Run them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("rounds", type=int)
    options.add_argument("races", nargs="*", help="all without any")
    options.add_argument("--repaired", action="store_true")
    options.add_argument("--threads", action="store_true")
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--lock-timeout", type=int, default=0, help="of frontrun, in ms; 0 for none")
    chosen = options.parse_args()
    form = "repaired" if chosen.repaired else "racy"
    clients = [client for client in CLIENTS if client.name in ("SQLAlchemy", "Django")]
    with tempfile.TemporaryDirectory() as folder, open_server(ServerSettings()) as server:
        for seed in range(1, chosen.rounds + 1):
            for client in clients:
                for race in chosen.races or RACES:
                    how: dict[str, Any] = {"seed": seed, "runs": chosen.runs}
                    for threads in (True,) if chosen.threads else (False, True):
                        row = searched(server, Path(folder), client, race, form, threads=threads, **how)
                        _say(seed, "threads" if threads else "programs", client.name, race, form, row)
                    for row in _frontrun(server, client.name.lower(), race, form, chosen.runs, chosen.lock_timeout):
                        _say(seed, "frontrun", client.name, race, form, row)


def _frontrun(
    server: Server, library: str, race: str, form: str, runs: int, lock_timeout: int
) -> Iterator[dict[str, Any]]:
    with server.bare_database() as name:
        found = conninfo_to_dict(server.conninfo(name))
        with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
            connection.execute(TABLES.encode())
        user, password = quote(str(found["user"])), quote(str(found.get("password") or ""))
        dsn = f"postgresql://{user}:{password}@/{name}?host={quote(str(found['host']), safe='')}&port={found['port']}"
        command = [
            str(PYTHON.with_name("frontrun")),
            str(PYTHON),
            str(SIDE),
            library,
            dsn,
            str(runs),
            str(lock_timeout),
            form,
            race,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=os.environ)
        except subprocess.TimeoutExpired:
            yield {"error": f"no end within {LIMIT} s"}
            return
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        yield from lines or [{"error": done.stderr[-500:]}]


def _say(turn: int, by: str, client: str, race: str, form: str, row: dict[str, Any]) -> None:
    print(json.dumps({"round": turn, "by": by, "client": client, "race": race, "form": form} | row), flush=True)


if __name__ == "__main__":
    main()
