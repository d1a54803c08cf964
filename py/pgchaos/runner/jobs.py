"""What an item runs. A job is small, as there may be thousands: it reads the file again when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pgchaos.language.model import Mutant, Scenario
    from pgchaos.language.problems import ScenarioError
    from pgchaos.report.flakes import Repeats
    from pgchaos.results import RunResult

# Parts of the engine that only some items need.
Part = Literal["drawing", "network", "oracle", "own server", "pooler", "programs", "searching", "spec"]

# Connections of the engine besides the sessions: setup, check, monitors, faults and leak checks.
ENGINE_CONNECTIONS = 5


@dataclass(frozen=True, slots=True)
class Job:
    """What one item runs."""

    path: Path
    shown: str  # the path as reports show it
    tags: tuple[str, ...] = ()  # further tags of the project
    variables: Mapping[str, str] = field(default_factory=dict)  # the values of its matrix
    mutant: str = ""  # the slug of the mutant, '' for none
    connections: int = ENGINE_CONNECTIONS  # at most
    alone: bool = False  # no other job may run on the server meanwhile
    fingerprint: str = ""  # that a token for this job has
    permutations: int = 0  # interleavings at most, if the file asks for all; else 0
    draws: bool = False  # values are drawn for it
    parts: tuple[Part, ...] = ()
    limit: float | None = None  # seconds that its sessions may take, whatever the scenario says; None for no limit
    root: Path | None = None  # the folder of the files that `\\copy` reads; None for the current directory
    constants: Mapping[str, str] = field(default_factory=dict)  # psql variables, of --chaos-set
    plain: bool = False  # it has no directives
    in_suite: bool = False  # it runs in the one database of --chaos-pgtap-keep

    def read(self) -> tuple[Scenario, Mutant | None]:
        """Read the scenario to run, and its mutant; ScenarioError if the changed file no longer contains them."""
        # projects without scenarios do not load these
        from pgchaos.language.mutation import mutants_in_force, mutated, slug
        from pgchaos.language.reader import read, variants

        scenario = read(self.path, self.shown, extra_tags=self.tags, root=self.root, constants=self.constants)
        if dict(self.variables) not in [dict(values) for values in variants(scenario)]:
            values = ", ".join(f"{name} = {value}" for name, value in self.variables.items())
            raise self._changed(values or "a run without a matrix")
        if not self.mutant:
            return scenario, None
        for mutant in mutants_in_force(scenario, self.variables):
            if slug(mutant) == self.mutant:
                return mutated(scenario, mutant), mutant
        raise self._changed(f"the mutant `{self.mutant}`")

    def _changed(self, missing: str) -> ScenarioError:
        from pgchaos.language.problems import Place, Problem, ScenarioError

        text = f"the file has changed since it was collected and no longer has {missing}: run pytest again"
        return ScenarioError((Problem(Place(self.shown, 1), text),))


@dataclass(frozen=True, slots=True)
class FinishedScenario:
    """A scenario that was run, and its result."""

    scenario: Scenario  # as it was run, with the mutant in it
    mutant: Mutant | None
    result: RunResult
    repeats: Repeats | None = None  # with --chaos-repeat: the result is that of the first run that failed
