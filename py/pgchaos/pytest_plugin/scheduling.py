"""Which scenarios may run ahead of pytest, and how long each may take."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from pgchaos.pytest_plugin.items import ScenarioItem
from pgchaos.runner.jobs import Job
from pgchaos.runner.spec_jobs import SpecJob
from pgchaos.schedule.token import Token

_MOST_TOLD = 10
"""Scenarios whose interleavings are told of line by line."""
_OURS = frozenset({"request", "subtests", "event_loop_policy"})
"""Ours, and one that pytest-asyncio gives to every item: it sets up nothing for those that are not its own."""


def may_run_ahead(config: pytest.Config) -> bool:
    """Say whether scenarios may run side by side in this process."""
    if hasattr(config, "workerinput") or getattr(config.option, "numprocesses", None):
        return False
    looks_on = ("usepdb", "trace", "setupshow", "setuponly", "setupplan")
    return not any(config.getoption(name, False) for name in looks_on) and config.getoption("capture") != "no"


def is_named(path: Path, session: pytest.Session) -> bool:
    """Say whether a file itself is named on the command line, even where its folder is too."""
    config = session.config
    return session.isinitpath(path) or str(path) in _named(tuple(config.args), config.invocation_params.dir)


@lru_cache(maxsize=8)
def _named(args: tuple[str, ...], folder: Path) -> frozenset[str]:
    paths = (os.path.join(folder, arg.partition("::")[0]) for arg in args)  # noqa: PTH118 an argument may be anything
    return frozenset(map(os.path.abspath, paths))


def is_scenario(item: pytest.Item) -> bool:
    """Say whether an item is a scenario, and no spec: it will ask for a database with pgTAP and the toolkit.

    Args:
        item: of any kind.
    """
    return isinstance(item, ScenarioItem) and item.job is not None and not isinstance(item.job, SpecJob)


def jobs_of(items: Iterable[pytest.Item]) -> list[Job]:
    """List what items will run."""
    return [item.job for item in items if isinstance(item, ScenarioItem) and item.job is not None]


def jobs_ahead(items: Iterable[pytest.Item]) -> dict[str, Job]:
    """Tell what may be run ahead."""
    return {
        item.nodeid: item.job
        for item in items
        if isinstance(item, ScenarioItem)
        and item.job is not None
        and not item.job.draws
        and not item.job.kept
        and _OURS.issuperset(item.fixturenames)
    }


def jobs_kept(items: Iterable[pytest.Item]) -> dict[str, Job]:
    """Tell what is run in the one database of plain pgTAP files that build on each other."""
    return {i.nodeid: i.job for i in items if isinstance(i, ScenarioItem) and i.job is not None and i.job.kept}


def keeping_told(items: Iterable[pytest.Item]) -> list[str]:
    """Say which files are going to build on each other."""
    count = len(jobs_kept(items))
    files = "1 plain pgTAP file" if count == 1 else f"{count} plain pgTAP files"
    return [f"one database for {files}, one after the other (--chaos-pgtap-keep)"] if count else []


def permutations_told(items: Iterable[pytest.Item]) -> list[str]:
    """Say how many interleavings are going to be run of scenarios that ask for all."""
    counts = {i.nodeid: i.job.permutations for i in items if isinstance(i, ScenarioItem) and i.job is not None}
    counts = {nodeid: count for nodeid, count in counts.items() if count}
    if len(counts) > _MOST_TOLD:
        return [f"permutations: at most {sum(counts.values()):,} of {len(counts)} scenarios"]
    return [f"permutations: at most {count:,} of {nodeid}" for nodeid, count in counts.items()]


def is_of(item: pytest.Item, token: Token) -> bool:
    """Say whether an item is what a token replays."""
    return isinstance(item, ScenarioItem) and item.job is not None and item.job.fingerprint == token.of


def set_limits(items: Iterable[pytest.Item]) -> None:
    """Give every job the time that pytest-timeout allows it."""
    for item in items:
        if isinstance(item, ScenarioItem) and item.job is not None and (limit := _limit(item)) is not None:
            item.job = replace(item.job, limit=limit)


def _limit(item: pytest.Item) -> float | None:
    """Find the limit where pytest-timeout finds it: marker, command line, environment, ini file; 0 is none."""
    plugins = item.config.pluginmanager
    if not (plugins.hasplugin("timeout") or plugins.hasplugin("pytest_timeout")):
        return None
    marker = item.get_closest_marker("timeout")
    said = None
    if marker is not None:
        said = marker.args[0] if marker.args else marker.kwargs.get("timeout")
    for more in (item.config.getoption("timeout", None), os.environ.get("PYTEST_TIMEOUT"), _ini(item.config)):
        said = more if said is None else said
    seconds = float(said) if said else 0.0
    return seconds if seconds > 0 else None


def _ini(config: pytest.Config) -> str | None:
    value = config.getini("timeout")
    return str(value) if value else None
