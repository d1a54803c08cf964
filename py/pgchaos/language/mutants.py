"""Mutants while they are read: what they change, and whether that can be."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.header_model import When
from pgchaos.language.model import Mutant, Repeat, Replace, Retry, Session
from pgchaos.language.mutant_texts import Replaceable
from pgchaos.language.problems import Place
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.session_options import SessionOptions
from pgchaos.language.suggestions import meant

_REPLACE = "replace 'text' with 'text' in SESSION, or in setup"
_NO_LETTERS = re.compile(r"\W+")
_CAUGHT = "caught by 'NAME'"


@dataclass(slots=True)
class MutantBuilder:
    """A mutant so far.

    Args:
        name: of the mutant.
        body: its SQL.
        when: the values of a matrix that it counts for.
        sessions: the new bodies with their lines.
        named: the first of the new bodies of each name.
        replaces: what it replaces.
        caught_by: what must fail.
        broken: whether part of it could not be read, so that what is missing is not told of.
    """

    name: str
    body: SectionBuilder
    when: When | None = None
    sessions: list[tuple[SessionOptions, SectionBuilder]] = field(default_factory=list)
    named: dict[str, Place] = field(default_factory=dict)
    replaces: list[Replace] = field(default_factory=list)
    caught_by: list[str] = field(default_factory=list)
    broken: bool = False


def replace(text: str, place: Place) -> Replace:
    """Read `replace 'text' with 'text' in SESSION`.

    Args:
        text: what stands behind `replace`.
        place: of the directive.

    Returns:
        The replacement.

    Raises:
        Wrong: it cannot be understood.
    """
    args = Args("replace", text, _REPLACE)
    old = args.quoted("the text to replace")
    args.need("with")
    new = args.quoted("the new text")
    args.need("in")
    session = args.name("the session")
    args.end()
    if not old:
        raise args.wrong("the text to replace is empty")
    if old == new:
        raise args.wrong("both texts are the same")
    return Replace(place, old, new, None if session == "setup" else session)


def caught_by(text: str) -> str:
    """Read `caught by 'NAME'`.

    Args:
        text: what stands behind `caught`.

    Returns:
        The name of what must fail.

    Raises:
        Wrong: it cannot be understood.
    """
    args = Args("caught by", text, _CAUGHT)
    args.need("by")
    name = args.quoted("the name of what must fail")
    args.end()
    if not name:
        raise args.wrong("the name of what must fail is empty")
    return name


def grown(planted: MutantBuilder, sessions: dict[str, Session]) -> Mutant:
    """Make the mutant; what its sessions do not say is inherited.

    Args:
        planted: as it was read.
        sessions: those of the file, by name.

    Returns:
        The mutant.
    """
    made = []
    for options, body in planted.sessions:
        base = sessions.get(options.name)
        if base is None:
            continue
        inherited = Repeat(base.repeat, base.until, base.beside)
        repeat = inherited if options.repeat is None else options.repeat
        made.append(
            Session(
                place=body.place,
                name=options.name,
                items=tuple(body.items),
                steps=tuple(body.steps),
                count=base.count if options.count is None else options.count,
                repeat=repeat.count,
                retry=_inherited(base.retry, options.retry),
                allow=base.allow if options.allow is None else options.allow,
                until=repeat.until,
                beside=repeat.beside,
            )
        )
    return Mutant(
        place=planted.body.place,
        name=planted.name,
        items=tuple(planted.body.items),
        replaces=tuple(planted.replaces),
        sessions=tuple(made),
        caught_by=tuple(planted.caught_by),
        when=planted.when,
    )


def _inherited(base: Retry, own: Retry | None) -> Retry:
    return base if own is None else own


def check_mutant(
    planted: MutantBuilder,
    sessions: Mapping[str, Session],
    replaceable: Replaceable,
    complain: Callable[[Place, str], None],
) -> None:
    """Say what cannot be about a mutant.

    Args:
        planted: the mutant.
        sessions: those of the file, by name.
        replaceable: the statements of the file.
        complain: called with the place and text of each problem.
    """
    place = planted.body.place
    if not planted.caught_by and not planted.broken:
        complain(
            place, f"`mutant`: `{planted.name}` does not say what catches it: `-- chaos:caught by 'NAME'` is missing"
        )
    if not (planted.body.items or planted.sessions or planted.replaces or planted.broken):
        complain(place, f"`mutant`: `{planted.name}` changes nothing: it has no SQL, replace or session")
    replaced = {options.name: body.place for options, body in planted.sessions}
    for name, at in replaced.items():
        if name and name not in sessions:
            complain(at, _unknown("session", name, sessions))
    for one in planted.replaces:
        if one.session is not None and one.session not in sessions:
            complain(one.place, _unknown("replace", one.session, sessions, "setup"))
        elif one.session in replaced:
            complain(
                one.place,
                f"`replace`: this mutant gives `{one.session}` a new body in line {replaced[one.session].line}",
            )
        else:
            _check_replace(one, replaceable, complain)


def _check_replace(one: Replace, replaceable: Replaceable, complain: Callable[[Place, str], None]) -> None:
    count = replaceable.spot(one).times
    if count != 1:
        where = "setup" if one.session is None else f"session `{one.session}`"
        found = "is not found" if count == 0 else f"is found {count} times"
        complain(one.place, f"`replace`: '{one.old}' {found} in the statements of {where}, it must be there once")


def _unknown(word: str, name: str, known: Collection[str], *more: str) -> str:
    return f"`{word}`: there is no session `{name}`{meant(name, known, *more)}"


def letters(name: str) -> str:
    """Give a mutant's name as its item's id has it: two that have the same would be one."""
    return _NO_LETTERS.sub(" ", name).strip().lower()


def mutant_line(text: str) -> str:
    """Check a mutant's name.

    Args:
        text: what stands behind `mutant`, without a condition.

    Returns:
        The name.

    Raises:
        Wrong: it is missing.
    """
    if not _NO_LETTERS.sub("", text):
        raise DirectiveError("`mutant`: its name is missing; it is written `mutant NAME [when NAME = value]`")
    return text
