"""Builds the scenario that a mutant runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pgchaos.language.header_model import applies
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Mutant, Replace, Scenario, Section, Session, statements_in
from pgchaos.language.mutant_texts import TextMatch, text_match
from pgchaos.language.problems import Problem, ScenarioError
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_items import Item, Parts, Send, Statement


def mutants_in_force(scenario: Scenario, variables: Mapping[str, str]) -> tuple[Mutant, ...]:
    """Return the mutants for these matrix values; none if the item itself is expected to fail."""
    if any(applies(xfail.when, variables) for xfail in scenario.xfails):
        return ()
    return tuple(m for m in scenario.mutants if applies(m.when, variables))


def slug(mutant: Mutant) -> str:
    """Return the name of a mutant's item, such as `mutant-nobody-locks-the-seat`."""
    return "mutant-" + re.sub(r"\W+", "-", mutant.name).strip("-").lower()


def mutated(scenario: Scenario, mutant: Mutant) -> Scenario:
    """Return the scenario with a mutant's sessions and replacements, and with its SQL after setup.

    Raises ScenarioError if a text to replace is not found: the scenario would run without the bug.
    """
    gone = [one for one in mutant.replaces if not _occurs(scenario, one)]
    if gone:
        raise ScenarioError(tuple(Problem(one.place, f"`replace`: '{one.old}' is not found") for one in gone))
    bodies = _replaced([part.items for part in scenario.setup], mutant.replaces, None)
    setup = tuple(replace(part, items=items) for part, items in zip(scenario.setup, bodies, strict=True))
    if mutant.items:
        setup += (Section(mutant.place, mutant.items),)
    sessions = tuple(_changed(session, mutant.replaces) for session in sessions_of(scenario, mutant))
    return replace(scenario, setup=setup, sessions=sessions, mutants=())


def sessions_of(scenario: Scenario, mutant: Mutant) -> tuple[Session, ...]:
    """Return the sessions with a mutant's new bodies, but without its replacements of text."""
    own = {session.name: session for session in mutant.sessions}
    return tuple(own.get(session.name, session) for session in scenario.sessions)


def _occurs(scenario: Scenario, one: Replace) -> bool:
    parts: tuple[Section | Session, ...] = scenario.setup
    if one.session is not None:
        parts = tuple(session for session in scenario.sessions if session.name == one.session)
    texts = [item.text for item in statements_in(parts)]
    return any(map(text_match(texts, one.old).count, texts))


def _changed(session: Session, replaces: Iterable[Replace]) -> Session:
    (items,) = _replaced([session.items], replaces, session.name)
    return replace(session, items=items)


def _replaced(
    bodies: list[tuple[Item, ...]], replaces: Iterable[Replace], session: str | None
) -> list[tuple[Item, ...]]:
    for one in replaces:
        if one.session == session:
            texts = [item.text for items in bodies for item in items if isinstance(item, Statement)]
            match = text_match(texts, one.old)
            bodies = [tuple(new for item in items for new in _replaced_in(item, match, one.new)) for items in bodies]
    return bodies


def _replaced_in(item: Item, match: TextMatch, new_text: str) -> tuple[Item, ...]:
    r"""Replace a text in one item. A statement may become several, or none if it becomes empty.

    A `\;` group stays one statement.
    """
    if not isinstance(item, Statement) or not match.count(item.text):
        return (item,)
    found = _statements(item, match.replace(item.text, new_text))
    if len(_statements(item, item.text)) > 1:
        return (_group(item, found),)
    new = [replace(item, text=sql.text, parts=sql.parts, verb=sql.verb) for sql in found]
    # the last of the new statements has the terminator
    return (*(replace(first, send=Send.PLAIN, prefix=(), copy=None) for first in new[:-1]), *new[-1:])


def _group(item: Statement, found: list[Sql]) -> Statement:
    parts: Parts = ()
    for sql in found:
        parts += (*sql.parts, ";")
    return replace(item, text="; ".join(sql.text for sql in found), parts=parts, verb=found[0].verb if found else "")


def _statements(item: Statement, text: str) -> list[Sql]:
    return [found for found in scan(f"{text}\n;", item.place.path) if isinstance(found, Sql)]
