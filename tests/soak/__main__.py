"""`python -m tests.soak [FAULTS] [SEED]`: random faults over one server under load; it fails where anything is lost."""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from pgchaos.engine.run_once import run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.server import Sandbox, Server, ServerSettings, open_server
from tests.soak.counting import count, settled
from tests.soak.rounds import Round, made

_EACH = 50
_WARM = 5
"""Rounds after which what the process holds is counted: by then all has been loaded, and every pool is filled."""


def soak(faults: int, seed: int, say: Callable[[str], None] = print) -> list[str]:
    """Do some rounds on one server with a seed; return what went wrong: nothing, where nothing was lost or left."""
    wrong: list[str] = []
    kinds: Counter[str] = Counter()
    begun = time.monotonic()
    say(f"{faults} faults, seed {seed}")
    at_first = count()
    with (
        open_server(ServerSettings()) as server,
        tempfile.TemporaryDirectory(prefix="pgchaos-soak-") as folder,
        server.own_server_sandbox((), {"deadlock_timeout": "20ms", "max_connections": "40"}, {}) as sandbox,
    ):
        before = count()
        for number in range(1, faults + 1):
            one = made(number, seed)
            kinds[one.kind] += 1
            result = _play(one, Path(folder), server, sandbox, seed)
            wrong += [f"round {number}, {one.fault}: {failure.text}" for failure in result.failures]
            before = count() if number == _WARM else before
            if number % _EACH == 0 or number == faults:
                say(f"  {number} done in {time.monotonic() - begun:.0f} s, {len(wrong)} wrong; {count()}")
        after = settled(before)
    at_last = settled(at_first)
    say(f"kinds: {', '.join(f'{kind} {number}' for kind, number in sorted(kinds.items()))}")
    for when, held in (
        (f"after {min(_WARM, faults)}", before),
        ("after all", after),
        ("before", at_first),
        ("at last", at_last),
    ):
        say(f"{when}: {held}")
    wrong += [f"more {name} after the rounds than after the first of them" for name in after.grown(before)]
    wrong += [f"more {name} at last than at first" for name in at_last.grown(at_first)]
    say("\n".join(wrong) or "nothing lost, nothing left")
    return wrong


def _play(one: Round, folder: Path, server: Server, sandbox: Sandbox, seed: int) -> RunResult:
    path = folder / "round.sql"
    path.write_text(one.text, encoding="utf-8")
    scenario = read(path, f"round {one.number}")
    return run_once(scenario, {}, server, RunSettings(seed, 60.0), open_sandbox=lambda: nullcontext(sandbox))


if __name__ == "__main__":
    _faults = int(sys.argv[1]) if sys.argv[1:] else 500
    _seed = int(sys.argv[2]) if sys.argv[2:] else secrets.randbelow(1 << 30)
    sys.exit(1 if soak(_faults, _seed) else 0)
