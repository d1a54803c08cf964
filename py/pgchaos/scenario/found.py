"""The sections and mutants of a file that were met so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pgchaos.scenario.body import Body, Kind
from pgchaos.scenario.mutants import Planted
from pgchaos.scenario.options import InvariantOptions, SessionOptions
from pgchaos.scenario.place import Place

PLAIN_SECTIONS: dict[str, Kind] = {"setup": "setup", "teardown": "teardown", "check": "check", "state": "state"}
"""The sections whose line says nothing but their kind."""


@dataclass(slots=True)
class Found:
    """What was met so far, in order.

    Args:
        sections: those without options, by kind.
        invariants: with their options.
        sessions: by name.
        spare: sessions whose name another has: looked at for mistakes, no more.
        planted: the mutants.
        mutants: where each stands first, by what its name comes to in the id of its item.
    """

    sections: dict[str, list[Body]] = field(default_factory=lambda: {kind: [] for kind in PLAIN_SECTIONS})
    invariants: list[tuple[InvariantOptions, Body]] = field(default_factory=list)
    sessions: dict[str, tuple[SessionOptions, Body]] = field(default_factory=dict)
    spare: list[Body] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    mutants: dict[str, Place] = field(default_factory=dict)

    def keep(self, options: SessionOptions, body: Body, mutant: Planted | None) -> Place | None:
        """Keep a session, of the file or of a mutant.

        Args:
            options: its line.
            body: what it does.
            mutant: whose new body it is, or None.

        Returns:
            The place of a session of the same name that was there before, or None.
        """
        if mutant is not None:
            mutant.sessions.append((options, body))
            first = mutant.named.setdefault(options.name, body.place)
            return None if first is body.place else first
        if options.name in self.sessions:
            self.spare.append(body)
            return self.sessions[options.name][1].place
        self.sessions[options.name] = (options, body)
        return None

    def bodies(self) -> Iterator[Body]:
        """Give every section that holds SQL, those of mutants too."""
        for bodies in self.sections.values():
            yield from bodies
        yield from (body for _, body in self.invariants)
        yield from (body for _, body in self.sessions.values())
        yield from self.spare
        for planted in self.planted:
            yield planted.body
            yield from (body for _, body in planted.sessions)
