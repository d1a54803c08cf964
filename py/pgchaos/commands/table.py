"""`pgchaos table`: a table of the scenarios in a folder, in Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from pgchaos.commands.errors import DONE, FOUND, CommandError
from pgchaos.commands.lint import read_scenario
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Barrier, Delay, Fault, Signal, WaitBlocked, WaitFor


def table(options: argparse.Namespace) -> int:
    """Print the table, or the mistakes in the files."""
    folder = Path(options.folder)
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder: name one that holds scenarios, such as sql")
    read = [read_scenario(path, options.tag) for path in sorted(folder.rglob("*.sql"))]
    found = [one for _, errors in read for one in errors]
    scenarios = [scenario for scenario, _ in read if scenario is not None]
    if not (found or scenarios):
        raise CommandError(f"no file in {folder} or below it is a scenario: a scenario has a `-- chaos:` directive")
    print("\n".join(map(str, found)) if found else _tables(folder, scenarios))
    return FOUND if found else DONE


def _tables(folder: Path, scenarios: Iterable[Scenario]) -> str:
    """Make one table in Markdown for each folder, with links relative to the top folder."""
    found = sorted(scenarios, key=lambda one: (one.path.parent, one.path))
    return "\n\n".join(
        "\n".join((*_head(parent.relative_to(folder)), *(_row(one, folder) for one in some)))
        for parent, some in groupby(found, key=lambda one: one.path.parent)
    )


def _head(folder: Path) -> Iterator[str]:
    yield f"## {folder.as_posix()}/" if folder.parts else "## ./"
    yield ""
    yield "| scenario | what it shows | driven by | tags | mutants |"
    yield "| --- | --- | --- | --- | --- |"


def _row(scenario: Scenario, folder: Path) -> str:
    link = f"[{scenario.name}]({scenario.path.relative_to(folder).as_posix()})"
    title = scenario.title.replace("|", "\\|")
    return (
        f"| {link} | {title} | {driven_by(scenario)} | {', '.join(sorted(scenario.tags))} | {len(scenario.mutants)} |"
    )


def driven_by(scenario: Scenario) -> str:
    """List what makes the sessions meet, such as 'exact order', 'explore 200, oracle' or 'barrier, fault kill'."""
    schedule, items = scenario.schedule, [item for session in scenario.sessions for item in session.items]
    kinds = {type(item) for item in items}
    ways = {
        "exact order": schedule.kind == "exact",
        "all orders": schedule.kind == "all",
        f"explore {schedule.limit}": schedule.kind == "explore",
        "oracle": scenario.oracle is not None,
        "drawn values": bool(scenario.given),
        "barrier": Barrier in kinds,
        "signals": bool(kinds & {Signal, WaitFor}),
        "lock waits": WaitBlocked in kinds,
        "load": any(session.repeat_while for session in scenario.sessions),
        "repetition": any(session.repeat > 1 and not session.repeat_while for session in scenario.sessions),
        "delays": Delay in kinds,
        "programs": scenario.runs_programs,
        "pooler": bool(scenario.poolers),
    }
    faults = dict.fromkeys(f"fault {item.kind}" for item in items if isinstance(item, Fault))
    if schedule.kind != "free" or scenario.oracle:
        del ways["repetition"]  # the schedule makes them meet
    return ", ".join((*(way for way, used in ways.items() if used), *faults)) or "nothing"
