"""Mutants while they are read, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pgchaos.language.arguments import Args
from pgchaos.language.header_model import When
from pgchaos.language.model import Mutant, Repeat, Replace, Session
from pgchaos.language.mutant_texts import ReplaceTargets
from pgchaos.language.problems import Place
from pgchaos.language.section_builder import Complain, SectionBuilder
from pgchaos.language.session_directives import SessionOptions
from pgchaos.language.suggestions import suggest

_NO_LETTERS = re.compile(r"\W+")


@dataclass(slots=True)
class MutantBuilder:
    """A mutant so far."""

    name: str
    body: SectionBuilder  # its SQL
    when: When | None = None
    # the new bodies with their lines
    sessions: list[tuple[SessionOptions, SectionBuilder]] = field(default_factory=list)
    session_places: dict[str, Place] = field(default_factory=dict)  # the first of the new bodies of each session
    replaces: list[Replace] = field(default_factory=list)  # what it replaces
    caught_by: list[str] = field(default_factory=list)  # what must fail
    incomplete: bool = False  # part of it could not be read, so nothing is reported as missing

    def build(self, sessions: Mapping[str, Session]) -> Mutant:
        """Make the mutant of the model: its sessions inherit what they do not write from those of the file."""
        known = [(options, body) for options, body in self.sessions if options.name in sessions]
        return Mutant(
            place=self.body.place,
            name=self.name,
            items=tuple(self.body.items),
            replaces=tuple(self.replaces),
            sessions=tuple(_inherit(sessions[options.name], options, body) for options, body in known),
            caught_by=tuple(self.caught_by),
            when=self.when,
        )


def _inherit(base: Session, options: SessionOptions, body: SectionBuilder) -> Session:
    inherited = Repeat(base.repeat, base.until, base.repeat_while)
    repeat = inherited if options.repeat is None else options.repeat
    return Session(
        place=body.place,
        name=options.name,
        items=tuple(body.items),
        steps=tuple(body.steps),
        count=base.count if options.count is None else options.count,
        repeat=repeat.count,
        retry=base.retry if options.retry is None else options.retry,
        allow=base.allow if options.allow is None else options.allow,
        connect=base.connect if options.connect is None else options.connect,
        until=repeat.until,
        repeat_while=repeat.repeat_while,
        # a body of SQL replaces the program too
        program=options.program_or(None if body.sources else base.program),
    )


def id_letters(name: str) -> str:
    """What the id of a mutant's item keeps of its name. Two mutants of a file must differ in it."""
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
    """Report a mutant that changes nothing, that nothing catches, or that names what does not exist."""
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
