"""What one item runs, light enough to keep thousands of them: the file is read again when its turn comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pgchaos.language.model import Mutant, Scenario
    from pgchaos.language.problems import ScenarioError
    from pgchaos.results import RunResult

Part = Literal["drawing", "oracle", "searching", "spec"]
"""A part of the engine that only some items need."""

OWN_CONNECTIONS = 5
"""Connections of the engine's own beside the sessions: setup, check, observer, faults, looks and leak checks."""


@dataclass(frozen=True, slots=True)
class Job:
    r"""What one item runs.

    Args:
        path: the file.
        shown: the path as users are told of it.
        tags: further tags that the project has.
        variables: the values of its matrix.
        mutant: the slug of the mutant to plant, '' for none.
        connections: that it takes at most.
        alone: nothing else may run on the server meanwhile.
        fingerprint: that a token must have to replay this.
        draws: values are drawn for it.
        permutations: how many interleavings it runs at most, where the file says all of them; else 0.
        parts: of the engine that it needs beside what all need.
        root: of the project, below which the files lie that `\copy` reads; None for the current directory.
        kept: it runs in the one database of all such files, in their order.
        limit: the most that its sessions may take in seconds, whatever the scenario says; None for no such limit.
    """

    path: Path
    shown: str
    tags: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    mutant: str = ""
    connections: int = OWN_CONNECTIONS
    alone: bool = False
    fingerprint: str = ""
    permutations: int = 0
    draws: bool = False
    parts: tuple[Part, ...] = ()
    limit: float | None = None
    root: Path | None = None
    kept: bool = False

    def read(self) -> tuple[Scenario, Mutant | None]:
        """Read the file, and plant its mutant.

        Returns:
            The scenario that is to be run, and the mutant in it.

        Raises:
            ScenarioError: the file is no scenario (any more), or has no such mutant or value of a matrix any more.
        """
        # projects without scenarios do not pay for loading these
        from pgchaos.language.mutation import mutants_in_force, mutated, slug
        from pgchaos.language.reader import read, variants

        scenario = read(self.path, self.shown, extra_tags=self.tags, root=self.root)
        if dict(self.variables) not in [dict(values) for values in variants(scenario)]:
            raise self._gone(
                ", ".join(f"{name} = {value}" for name, value in self.variables.items()) or "a run by itself"
            )
        if not self.mutant:
            return scenario, None
        for mutant in mutants_in_force(scenario, self.variables):
            if slug(mutant) == self.mutant:
                return mutated(scenario, mutant), mutant
        raise self._gone(f"the mutant `{self.mutant}`")

    def _gone(self, what: str) -> ScenarioError:
        from pgchaos.language.problems import Place, Problem, ScenarioError

        text = f"the file was changed after it was collected: {what} is no longer in it; run pytest again"
        return ScenarioError((Problem(Place(self.shown, 1), text),))


@dataclass(frozen=True, slots=True)
class Done:
    """A job that was run.

    Args:
        scenario: what was run, a mutant in it.
        mutant: that mutant, or None.
        result: what the run left behind.
    """

    scenario: Scenario
    mutant: Mutant | None
    result: RunResult
