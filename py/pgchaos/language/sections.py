"""The sections of a file during parsing: the open section, and the directives that open one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.header_model import Matrix
from pgchaos.language.model import Program
from pgchaos.language.mutants import MutantBuilder, id_letters
from pgchaos.language.problems import Place
from pgchaos.language.section_builder import Complain, Kind, SectionBuilder
from pgchaos.language.session_directives import InvariantOptions, SessionOptions, invariant_options, session_options

_PLAIN_KINDS: dict[str, Kind] = {"setup": "setup", "teardown": "teardown", "check": "check", "state": "state"}


@dataclass(slots=True)
class Sections:
    """The sections so far, in order."""

    complain: Complain  # called with each problem
    matrix: Mapping[str, Matrix]  # the matrices of the file by name
    # sections without options, by kind
    plain: dict[str, list[SectionBuilder]] = field(default_factory=lambda: {kind: [] for kind in _PLAIN_KINDS})
    invariants: list[tuple[InvariantOptions, SectionBuilder]] = field(default_factory=list)  # with their options
    sessions: dict[str, tuple[SessionOptions, SectionBuilder]] = field(default_factory=dict)  # by name
    # sessions with the name of an earlier one; they are only checked for mistakes
    duplicates: list[SectionBuilder] = field(default_factory=list)
    mutants: list[MutantBuilder] = field(default_factory=list)
    mutant_places: dict[str, Place] = field(default_factory=dict)  # the first mutant of each id
    body: SectionBuilder | None = None  # the open section
    mutant: MutantBuilder | None = None  # the open mutant
    first: Place | None = None  # the line of the first section
    incomplete: bool = False  # a part could not be parsed that other parts of the file may refer to

    def bodies(self) -> Iterator[SectionBuilder]:
        """Yield all sections with SQL, including those of mutants."""
        yield from self.own_bodies()
        yield from self.mutant_bodies()

    def written_sessions(self) -> Iterator[tuple[SessionOptions, SectionBuilder]]:
        """Yield the sessions as written, including those of mutants."""
        yield from self.sessions.values()
        for mutant in self.mutants:
            yield from mutant.sessions

    def own_bodies(self) -> Iterator[SectionBuilder]:
        """Yield the sections of the scenario itself."""
        for bodies in self.plain.values():
            yield from bodies
        yield from (body for _, body in self.invariants)
        yield from (body for _, body in self.sessions.values())
        yield from self.duplicates

    def mutant_bodies(self) -> Iterator[SectionBuilder]:
        """Yield the sections of mutants."""
        for mutant in self.mutants:
            yield mutant.body
            yield from (body for _, body in mutant.sessions)

    def close(self) -> None:
        """Close the open section."""
        if self.body is not None:
            self.body.finish()
        self.body = None

    def open(self, kind: Kind, place: Place) -> SectionBuilder:
        """Open a section. Any section but a session ends the open mutant."""
        self.close()
        self.first = self.first or place
        if kind not in ("session", "mutant"):
            if self.mutant is not None:
                self.complain(
                    place,
                    f"`{kind}` stands below the mutant in line {self.mutant.body.place.line}:"
                    " mutants must be last in the file",
                )
            self.mutant = None
        self.body = SectionBuilder(kind, place, self.complain)
        return self.body

    def replaced_program(self, name: str) -> Program | None:
        """Return the program of the session that a session of the open mutant replaces, or None."""
        replaced = self.sessions.get(name) if self.mutant is not None else None
        return replaced[0].program if replaced is not None else None

    def add_session(self, options: SessionOptions, body: SectionBuilder) -> Place | None:
        """Add a session to the file or the open mutant; return the line of an earlier one with its name, or None."""
        if self.mutant is not None:
            self.mutant.sessions.append((options, body))
            first = self.mutant.session_places.setdefault(options.name, body.place)
            return None if first is body.place else first
        if options.name in self.sessions:
            self.duplicates.append(body)
            return self.sessions[options.name][1].place
        self.sessions[options.name] = (options, body)
        return None


# The functions below parse the directives that open a section; they raise DirectiveError. The section is opened before
# its line is parsed, so that the SQL below belongs to it even if the line has a mistake.


def plain(sections: Sections, args: Args) -> None:
    """`setup`, `teardown`, `check` or `state`."""
    kind = _PLAIN_KINDS[args.word]
    sections.plain[kind].append(sections.open(kind, args.place))


def invariant(sections: Sections, args: Args) -> None:
    """`invariant [every 10ms] [may be empty] [at end]`."""
    options = InvariantOptions()
    sections.invariants.append((options, sections.open("invariant", args.place)))
    invariant_options(args, options)


def session(sections: Sections, args: Args) -> None:
    """`session NAME …`."""
    options = SessionOptions()
    body = sections.open("session", args.place)
    try:
        session_options(args, options)
    except DirectiveError:
        # the number of its connections is not known
        sections.incomplete |= options.count is None
        raise
    finally:
        body.name = options.name
        body.program = options.program or sections.replaced_program(options.name)
        sections.incomplete |= not options.name
        first = sections.add_session(options, body)
    if first is not None:
        raise DirectiveError(f"`session`: there are two sessions `{options.name}`, the first in line {first.line}")


def mutant(sections: Sections, args: Args) -> None:
    """`mutant NAME [when NAME = value]`."""
    made = sections.mutant = MutantBuilder("", sections.open("mutant", args.place))
    sections.mutants.append(made)
    args.take_condition_of_text(sections.matrix)
    made.when = args.when
    if not re.search(r"\w", args.text):
        raise args.error("its name is missing")
    made.name = args.text
    first = sections.mutant_places.setdefault(id_letters(args.text), args.place)
    if first is not args.place:
        raise DirectiveError(f"`mutant`: there are two mutants `{args.text}`, the first in line {first.line}")
