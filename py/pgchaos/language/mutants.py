"""Mutants during parsing, and checks of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pgchaos.language.arguments import Args
from pgchaos.language.header_model import When
from pgchaos.language.model import Mutant, Replace, Session
from pgchaos.language.mutant_texts import ReplaceTargets
from pgchaos.language.problems import Place
from pgchaos.language.section_builder import Complain, SectionBuilder
from pgchaos.language.session_directives import SessionOptions, build_session
from pgchaos.language.suggestions import suggest

_NO_LETTERS = re.compile(r"\W+")


@dataclass(slots=True)
class MutantBuilder:
    """A mutant so far."""

    name: str
    body: SectionBuilder  # its SQL
    when: When | None = None
    sessions: list[tuple[SessionOptions, SectionBuilder]] = field(default_factory=list)  # the new bodies
    session_places: dict[str, Place] = field(default_factory=dict)  # the first new body of each session
    replaces: list[Replace] = field(default_factory=list)
    caught_by: list[str] = field(default_factory=list)
    incomplete: bool = False  # a part could not be parsed, so nothing is reported as missing

    def build(self, sessions: Mapping[str, Session]) -> Mutant:
        """Return the mutant of the model. Its sessions inherit options from the sessions of the file."""
        known = [(options, body) for options, body in self.sessions if options.name in sessions]
        return Mutant(
            place=self.body.place,
            name=self.name,
            items=tuple(self.body.items),
            replaces=tuple(self.replaces),
            sessions=tuple(build_session(options, body, sessions[options.name]) for options, body in known),
            caught_by=tuple(self.caught_by),
            when=self.when,
        )


def id_letters(name: str) -> str:
    """Return the part of a mutant's name that its item's id contains. It must be unique in the file."""
    return _NO_LETTERS.sub(" ", name).strip().lower()


def replace(mutant: MutantBuilder, args: Args) -> None:
    """`replace 'text' with 'text' in SESSION`, or `in setup`. Raises DirectiveError."""
    old = args.quoted("the text to replace")
    args.expect("with")
    new = args.quoted("the new text")
    args.expect("in")
    session = args.name("the session")
    args.end()
    if not old:
        raise args.error("the text to replace is empty")
    if old == new:
        raise args.error("both texts are the same")
    mutant.replaces.append(Replace(args.place, old, new, None if session == "setup" else session))


def caught(mutant: MutantBuilder, args: Args) -> None:
    """`caught by 'NAME'`. Raises DirectiveError."""
    args.expect("by")
    name = args.quoted("the name of what must fail")
    args.end()
    if not name:
        raise args.error("the name of what must fail is empty")
    mutant.caught_by.append(name)


def check_mutant(
    mutant: MutantBuilder, sessions: Mapping[str, Session], targets: ReplaceTargets, complain: Complain
) -> None:
    """Report a mutant that changes nothing, that has no `caught by`, or that refers to what does not exist."""
    place = mutant.body.place
    if not mutant.caught_by and not mutant.incomplete:
        complain(
            place, f"`mutant`: `{mutant.name}` does not say what catches it: `-- chaos:caught by 'NAME'` is missing"
        )
    if not (mutant.body.items or mutant.sessions or mutant.replaces or mutant.incomplete):
        complain(place, f"`mutant`: `{mutant.name}` changes nothing: it has no SQL, replace or session")
    new_bodies = {options.name: body.place for options, body in mutant.sessions}
    for name, at in new_bodies.items():
        if name and name not in sessions:
            complain(at, _unknown("session", name, sessions))
    for one in mutant.replaces:
        if one.session is not None and one.session not in sessions:
            complain(one.place, _unknown("replace", one.session, sessions, "setup"))
        elif one.session in new_bodies:
            complain(
                one.place,
                f"`replace`: this mutant gives `{one.session}` a new body in line {new_bodies[one.session].line}",
            )
        else:
            _check_replace(one, targets, complain)


def _check_replace(one: Replace, targets: ReplaceTargets, complain: Complain) -> None:
    times = len(targets.find(one))
    if times != 1:
        where = "setup" if one.session is None else f"session `{one.session}`"
        found = "is not found" if times == 0 else f"is found {times} times"
        complain(one.place, f"`replace`: '{one.old}' {found} in the statements of {where}; it must occur exactly once")


def _unknown(word: str, name: str, known: Collection[str], *more: str) -> str:
    return f"`{word}`: there is no session `{name}`{suggest(name, known, *more)}"
