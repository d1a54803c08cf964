"""What the lines have in common: a folder to work in, a server, and pytest as a user would start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgchaos.server import ServerSettings, open_server
from pgchaos.server.binaries import embedded_bindir
from pgchaos.server.server import Server
from tests.bench.measure import Absent

SEED = 1
SQL = Path(__file__).parents[2] / "sql"
_INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that has ended: the seconds that it took, and what it wrote."""

    seconds: float
    out: str


def environment(**more: str) -> dict[str, str]:
    """Give the environment of a program: no server named, and bytecode kept, as on a machine as it comes."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTEST_ADDOPTS", "CHAOS_MAKE")
    kept = {name: value for name, value in os.environ.items() if name not in left_out and not name.startswith("PG")}
    return {**kept, **more}


def program(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end.

    Args:
        command: and its arguments.
        folder: to run it in.
        env: its environment; None for `environment()`.

    Raises:
        RuntimeError: it failed: what it did not do may not be counted.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,  # what it wrote is more useful than its status
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout[-3000:]}")
    return Ran(seconds, done.stdout)


def pytest_run(folder: Path, *arguments: str, cache: bool = False, seed: bool = True, plugins: bool = True) -> Ran:
    """Run pytest in a folder that `workplace` made.

    Args:
        folder: to run it in.
        arguments: of pytest.
        cache: let it keep from one run to the next what it keeps as it comes.
        seed: with a fixed seed; False for a run without pgchaos.
        plugins: with all that are installed; False for pgchaos alone.
    """
    kept = () if cache else ("-p", "no:cacheprovider")
    seeded = (f"--chaos-seed={SEED}",) if seed else ()
    alone = () if plugins else ("-p", "pgchaos.pytest_plugin.plugin")
    command = [sys.executable, "-m", "pytest", "-q", *kept, *alone, *seeded, *arguments]
    return program(command, folder, environment(**({} if plugins else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})))


@contextmanager
def workplace(folder: Path, name: str) -> Iterator[Path]:
    """Make a folder with pytest's settings, and remove it."""
    place = folder / name
    place.mkdir()
    try:
        (place / "pytest.ini").write_text(_INI, encoding="utf-8")
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def own_server() -> Iterator[Server]:
    """Start a private server, whatever the environment names."""
    with open_server(ServerSettings(), {}) as server:
        yield server


def tool(name: str, needed: str) -> str:
    """Find a program.

    Raises:
        Absent: it is not installed.
    """
    # the embedded server brings some of PostgreSQL's own
    found = shutil.which(str(embedded_bindir() / name)) or shutil.which(name)
    if found is None:
        raise Absent(f"{name} is not installed ({needed})")
    return found
