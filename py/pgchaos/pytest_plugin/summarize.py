"""Summarizes a scenario for collection. Loaded only if a file is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pgchaos.language.fault_kinds import targets_connections
from pgchaos.language.model import Mutant, Scenario
from pgchaos.language.mutation import mutants_in_force, slug
from pgchaos.language.reader import variants
from pgchaos.language.schedules import MOST, interleavings
from pgchaos.language.search_choices import has_floating_fault
from pgchaos.language.section_items import Fault
from pgchaos.pytest_plugin.file_summary import FileSummary
from pgchaos.runner.jobs import ENGINE_CONNECTIONS, Part
from pgchaos.schedule.token import Fingerprints


def texts_of(scenario: Scenario) -> list[str]:
    """Return the text of a scenario's file, and of included files."""
    return [scenario.source, *(path.read_text(encoding="utf-8", errors="replace") for path in scenario.includes)]


def summarize(scenario: Scenario, given: Mapping[str, str] | None = None) -> FileSummary:
    """Summarize a scenario for collection; `given` are the variables of --chaos-set, which identify it too."""
    fingerprints = Fingerprints([*texts_of(scenario), *([json.dumps(dict(given), sort_keys=True)] if given else ())])
    items = []
    for values in variants(scenario):
        floating = frozenset(session.name for session in scenario.sessions if has_floating_fault((session,), values))
        names = [("", fingerprints.of(values), bool(scenario.given or floating))]
        for mutant in mutants_in_force(scenario, values):
            name = slug(mutant)
            draws = scenario.given or _mutant_has_floating_fault(mutant, floating, values)
            names.append((name, fingerprints.of(values, name), bool(draws)))
        items.append((values, tuple(names)))
    permutations = 0
    if scenario.schedule.kind == "all":
        most = scenario.schedule.limit or MOST
        permutations = most if scenario.runs_programs else min(interleavings(scenario.sessions, most), most)
    return FileSummary(
        plain=scenario.plain,
        title=scenario.title,
        tags=tuple(sorted(scenario.tags)),
        line=next((requirement.place.line for requirement in scenario.requires), 1),
        notes=tuple(map(str, scenario.notes)),
        connections=ENGINE_CONNECTIONS + scenario.connections,
        # a scenario with its own server is alone on it anyway
        alone=(scenario.alone or "destructive" in scenario.tags) and scenario.sandbox != "server",
        permutations=permutations,
        parts=tuple(_parts(scenario)),
        items=tuple(items),
    )


def _parts(scenario: Scenario) -> Iterator[Part]:
    if scenario.oracle is not None:
        yield "oracle"
    sessions = scenario.all_sessions
    if any(session.program is not None for session in sessions):
        yield "programs"
    if any(isinstance(item, Fault) and targets_connections(item) for one in sessions for item in one.items):
        yield "network"
    if scenario.poolers:
        yield "pooler"
    if scenario.schedule.kind in ("all", "explore"):
        yield "searching"
    if scenario.sandbox == "server":
        yield "own server"


def _mutant_has_floating_fault(mutant: Mutant, floating: frozenset[str], values: Mapping[str, str]) -> bool:
    """Whether a session of a mutant has a fault `at any step`; `floating` are those of the scenario that have one."""
    replaced = {session.name for session in mutant.sessions}
    return bool(floating - replaced) or has_floating_fault(mutant.sessions, values)
