"""What a program finds in its environment, and what it must not find."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pgchaos.engine.applications.environment import program_environment

USERS = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "PGSERVICE": "production",
    "PGPASSFILE": "/home/me/.pgpass",
    "PG_BINDIR": "/usr/lib/postgresql/18/bin",
    "DATABASE_URL": "postgresql://production/",
    "CHAOS_OPTS": "-v",
    "PYTEST_CURRENT_TEST": "x",
    "SHOP": "open",
}


def made(source: dict[str, str] | None = None, worker: int = 1, seed: int = 7) -> dict[str, str]:
    return program_environment(USERS | (source or {}), {"PGHOST": "127.0.0.1"}, "shop", worker, 3, seed)


def test_it_is_the_users_without_what_leads_to_another_server() -> None:
    found = made()
    assert {name: value for name, value in found.items() if name in USERS and name != "PATH"} == {
        "HOME": "/home/me",
        "LANG": "C.UTF-8",
        "SHOP": "open",
    }
    assert found["PGHOST"] == "127.0.0.1"
    assert [found[f"CHAOS_{name}"] for name in ("SESSION", "WORKER", "ITERATION", "SEED")] == ["shop", "1", "3", "7"]


def test_the_virtual_environment_of_pytest_comes_first() -> None:
    assert sys.prefix != sys.base_prefix, "tests run in a virtual environment"
    found = made()
    assert found["PATH"] == os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin"])
    assert found["VIRTUAL_ENV"] == sys.prefix


def test_hashes_of_python_depend_on_the_seed_and_the_worker_alone() -> None:
    seeds = [made()["PYTHONHASHSEED"], made(worker=2)["PYTHONHASHSEED"], made(seed=8)["PYTHONHASHSEED"]]
    assert len(set(seeds)) == 3
    assert made()["PYTHONHASHSEED"] == seeds[0]
    assert made({"PYTHONHASHSEED": "0"})["PYTHONHASHSEED"] == "0"
