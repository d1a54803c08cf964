"""Decides which items run, which of them in parallel, and their time limits; writes lines for pytest's header."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgchaos.pytest_plugin.reports import captures_output
from pgchaos.pytest_plugin.scenario_item import ScenarioItem
from pgchaos.pytest_plugin.stash import OPTIONS

if TYPE_CHECKING:
    from pgchaos.runner.jobs import Job, Part
    from pgchaos.runner.options import Options
    from pgchaos.server.database_queue import Expected

# With more scenarios, one line contains the total of their interleavings.
_MOST_LINES = 10

# What a job may use that makes one run, in one database.
_OF_ONE_RUN: frozenset[Part] = frozenset({"network", "own server", "pooler", "programs"})

# The plugin's own fixtures, and one that pytest-asyncio adds to every item, which sets up nothing for these.
_OWN_FIXTURES = frozenset({"request", "subtests", "event_loop_policy"})


_NAMED_PATHS = pytest.StashKey[frozenset[str]]()  # of the command line; cached, because it is needed for each file


def may_run_in_parallel(config: pytest.Config) -> bool:
    """Whether scenarios may run in threads of this process: not with pytest-xdist, nor in a debugging session."""
    if hasattr(config, "workerinput") or getattr(config.option, "numprocesses", None):
        return False
    interactive = ("usepdb", "trace", "setupshow", "setuponly", "setupplan")
    return not any(config.getoption(name, False) for name in interactive) and captures_output(config)


def is_named(path: Path, session: pytest.Session) -> bool:
    """Whether a file is an argument of the command line, even if its folder is an argument too."""
    config = session.config
    if _NAMED_PATHS not in config.stash:
        config.stash[_NAMED_PATHS] = _named_paths(config.args, config.invocation_params.dir)
    return session.isinitpath(path) or str(path) in config.stash[_NAMED_PATHS]


def _named_paths(args: Iterable[str], folder: Path) -> frozenset[str]:
    paths = (os.path.join(folder, arg.partition("::")[0]) for arg in args)  # noqa: PTH118 an argument may be anything
    return frozenset(map(os.path.abspath, paths))


def _jobs(items: Iterable[pytest.Item]) -> Iterator[tuple[ScenarioItem, Job]]:
    return ((item, item.job) for item in items if isinstance(item, ScenarioItem) and item.job is not None)


def jobs_of(items: Iterable[pytest.Item]) -> list[Job]:
    """Return the jobs of items."""
    return [job for _, job in _jobs(items)]


def expected(items: Sequence[pytest.Item], options: Options) -> Expected | None:
    """Return what items need of the server: pgTAP alone for only plain pgTAP files; None for only specs."""
    jobs = jobs_of(items)
    if not jobs:
        return None
    from pgchaos.language.plain_files import Contents
    from pgchaos.runner.specs import SpecJob
    from pgchaos.server.database_queue import Expected

    scenarios = [job for job in jobs if not isinstance(job, SpecJob)]
    if not scenarios:
        return None
    contents = Contents.PGTAP if all(job.plain for job in scenarios) else Contents.TOOLKIT
    # a search, a spec, a fixture or a test of Python may take several
    several = not all(_OF_ONE_RUN.issuperset(job.parts) and not job.permutations for job in jobs)
    known = len(jobs) == len(items) and not (several or options.selfcheck or options.repeat > 1)
    return Expected(contents, len(jobs) if known else None)


def parallel_jobs(items: Iterable[pytest.Item]) -> dict[str, Job]:
    """Return the jobs that may run before pytest reaches their items: those without fixtures of the project."""
    return {
        item.nodeid: job
        for item, job in _jobs(items)
        if not job.draws and not job.in_suite and _OWN_FIXTURES.issuperset(item.fixturenames)
    }


def suite_jobs(items: Iterable[pytest.Item]) -> dict[str, Job]:
    """Return the jobs of plain pgTAP files that share one database."""
    return {item.nodeid: job for item, job in _jobs(items) if job.in_suite}


def suite_lines(items: Iterable[pytest.Item]) -> list[str]:
    """Write how many files share one database."""
    count = len(suite_jobs(items))
    files = "1 plain pgTAP file" if count == 1 else f"{count} plain pgTAP files"
    return [f"one database for {files}, one after the other (--chaos-pgtap-keep)"] if count else []


def permutation_lines(items: Iterable[pytest.Item]) -> list[str]:
    """Write how many interleavings will run, of scenarios that ask for all."""
    counts = {item.nodeid: job.permutations for item, job in _jobs(items) if job.permutations}
    if len(counts) > _MOST_LINES:
        return [f"interleavings: at most {sum(counts.values()):,} of {len(counts)} scenarios"]
    return [f"interleavings: at most {count:,} of {nodeid}" for nodeid, count in counts.items()]


def select_items(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select only the item of the token of --chaos-replay; pytest.UsageError if there is none."""
    if config.stash[OPTIONS].constants:
        # projects without scenarios do not load it
        from pgchaos.pytest_plugin.collection_run import check_constants

        check_constants(config)
    token = config.stash[OPTIONS].token
    if token is not None:
        chosen: list[pytest.Item] = [item for item, job in _jobs(items) if job.fingerprint == token.of]
        # for a test in Python, the token is compared when it calls chaos_explore
        chosen = chosen or [item for item in items if "chaos_explore" in getattr(item, "fixturenames", ())]
        selected = set(chosen)
        others = [item for item in items if item not in selected]
        items[:] = chosen
        config.hook.pytest_deselected(items=others)
        if not items:
            from pgchaos.schedule.token import shown

            raise pytest.UsageError(
                f"--chaos-replay: the token '{shown(str(token))}' matches no collected scenario: the file has changed"
                f" since, or it is not below {_searched(config)}: name its path after the token; or the token is of"
                " other values of the matrix or of a mutant (which needs --chaos-mutants)"
            )


def _searched(config: pytest.Config) -> str:
    """Describe what was collected: the arguments, else the folders of chaos_paths."""
    if config.args_source is config.ArgsSource.ARGS:
        return ", ".join(dict.fromkeys(arg.partition("::")[0] for arg in config.args))
    return f"chaos_paths ({', '.join(path.name for path in config.stash[OPTIONS].paths)})"


def set_limits(items: Iterable[pytest.Item]) -> None:
    """Give every job the time limit of pytest-timeout."""
    for item, job in _jobs(items):
        limit = _limit(item)
        if limit is not None:
            item.job = replace(job, limit=limit)


def _limit(item: pytest.Item) -> float | None:
    """Return pytest-timeout's limit in seconds: from the marker, the command line, the environment, the ini file."""
    config = item.config
    if not (config.pluginmanager.hasplugin("timeout") or config.pluginmanager.hasplugin("pytest_timeout")):
        return None
    marker = item.get_closest_marker("timeout")
    value = None
    if marker is not None:
        value = marker.args[0] if marker.args else marker.kwargs.get("timeout")
    if value is None:
        value = config.getoption("timeout", None)
    if value is None:
        value = os.environ.get("PYTEST_TIMEOUT")
    if value is None:
        value = config.getini("timeout")
    seconds = float(value) if value else 0.0
    return seconds if seconds > 0 else None
