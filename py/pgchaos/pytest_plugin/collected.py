"""What collection needs to know of a file: little enough to be kept from one run to the next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pgchaos.language.model import Mutant, Scenario
from pgchaos.language.mutation import mutants_in_force, slug
from pgchaos.language.reader import variants
from pgchaos.language.schedules import MOST, interleavings
from pgchaos.language.search_choices import has_floating_fault
from pgchaos.runner.jobs import OWN_CONNECTIONS, Job, Part
from pgchaos.schedule.token import Fingerprints

_DRAWING: tuple[Part, ...] = ("drawing", "searching")


@dataclass(frozen=True, slots=True)
class Facts:
    """What collection needs to know of a file that is a scenario.

    Args:
        title: of the scenario.
        tags: as written, without 'chaos'.
        line: that a skip is shown at.
        notes: on what may surprise.
        connections: that an item takes at most.
        alone: nothing else may run on the server meanwhile.
        permutations: how many interleavings an item runs at most, where the file says all of them; else 0.
        parts: of the engine that every item needs beside what all need.
        items: the values of the matrix for each item; '' and the slugs of the mutants that are run beside it; and of
            each of these the fingerprint, and whether values are drawn for it.
    """

    title: str
    tags: tuple[str, ...]
    line: int
    notes: tuple[str, ...]
    connections: int
    alone: bool
    permutations: int
    parts: tuple[Part, ...]
    items: tuple[tuple[Mapping[str, str], tuple[tuple[str, str, bool], ...]], ...]

    def jobs(self, path: Path, shown: str, tags: tuple[str, ...] = (), *, mutants: bool = False) -> Iterator[Job]:
        """Tell what is to be run of the file."""
        for values, names in self.items:
            for name, of, draws in names if mutants else names[:1]:
                parts = (*self.parts, *_DRAWING) if draws else self.parts
                yield Job(
                    path, shown, tags, values, name, self.connections, self.alone, of, self.permutations, draws, parts
                )

    def packed(self) -> str:
        """Write them in one line, for `unpacked`."""
        return json.dumps([getattr(self, name) for name in self.__slots__], ensure_ascii=False)


def facts_of(scenario: Scenario) -> Facts:
    """Take from a scenario what collection needs."""
    texts = [scenario.source, *(path.read_text(encoding="utf-8", errors="replace") for path in scenario.includes)]
    fingerprints = Fingerprints(texts)
    items = []
    for values in variants(scenario):
        roaming = frozenset(session.name for session in scenario.sessions if has_floating_fault((session,), values))
        names = [("", fingerprints.of(values), bool(scenario.given or roaming))]
        for mutant in mutants_in_force(scenario, values):
            name = slug(mutant)
            draws = scenario.given or _roams_with(mutant, roaming, values)
            names.append((name, fingerprints.of(values, name), bool(draws)))
        items.append((values, tuple(names)))
    permutations = 0
    if scenario.schedule.kind == "all":
        most = scenario.schedule.limit or MOST
        permutations = min(interleavings(scenario.sessions, most), most)
    return Facts(
        title=scenario.title,
        tags=tuple(sorted(scenario.tags)),
        line=next((requirement.place.line for requirement in scenario.requires), 1),
        notes=tuple(map(str, scenario.notes)),
        connections=OWN_CONNECTIONS + sum(session.count for session in scenario.sessions),
        # on a server of its own it is alone anyway
        alone=(scenario.alone or "destructive" in scenario.tags) and scenario.sandbox != "server",
        permutations=permutations,
        parts=tuple(_parts(scenario)),
        items=tuple(items),
    )


def _parts(scenario: Scenario) -> Iterator[Part]:
    if scenario.oracle is not None:
        yield "oracle"
    if scenario.schedule.kind in ("all", "explore"):
        yield "searching"


def _roams_with(mutant: Mutant, roaming: frozenset[str], values: Mapping[str, str]) -> bool:
    """Say whether a fault `at any step` is among the sessions that run with a mutant."""
    own = {session.name for session in mutant.sessions}
    # most mutants have no body of their own
    left = roaming - own if own else roaming
    return bool(left) or has_floating_fault(mutant.sessions, values)


def unpacked(text: str) -> Facts:
    """Read what `packed` wrote."""
    title, tags, line, notes, connections, alone, permutations, parts, items = json.loads(text)
    taken = tuple((values, tuple((name, of, draws) for name, of, draws in names)) for values, names in items)
    return Facts(title, tuple(tags), line, tuple(notes), connections, alone, permutations, tuple(parts), taken)
