"""From what was read to the Scenario, with the checks that need all of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pgchaos.language.arguments import DirectiveError
from pgchaos.language.directives import directive
from pgchaos.language.file_rules import check_matrix_used, check_oracle, check_repeats
from pgchaos.language.header_model import Schedule
from pgchaos.language.lexemes import Comment
from pgchaos.language.model import Invariant, Repeat, Replace, Retry, Scenario, Section, Session
from pgchaos.language.mutant_texts import Replaceable
from pgchaos.language.mutants import check_mutant, grown
from pgchaos.language.parser import Parser
from pgchaos.language.problems import Place, Problem
from pgchaos.language.schedules import by_session, held_by, schedule, settled, too_many, waits
from pgchaos.language.schema_sandbox import check_schema_sandbox
from pgchaos.language.search_choices import told_apart
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Fault
from pgchaos.language.session_options import SessionOptions
from pgchaos.language.snapshots import snapshot_notes
from pgchaos.language.validation import (
    asserts,
    check_barriers,
    check_calls,
    check_error_stop,
    check_faults,
    check_signals,
    check_targets,
    check_unread,
    check_variables,
    signals_of,
)

_MODELINE = re.compile(r"(?:vim?|ex|kate|emacs|sqlfluff|noqa|pg_format|sql-?lint)\b\s*:|-\*-|noqa\b|\$Id|<!--", re.I)
_LICENCE = re.compile(r"copyright|spdx-|licen[cs]|all rights reserved|\(c\)\s|©", re.I)
_LICENCE_TEXT = re.compile(
    r"permission is|permission to use|redistribut|warrant|this (?:file|program|software) is", re.I
)
_RULE = re.compile(r"[\W_]*")


def title_of(comments: Iterable[Comment]) -> str:
    """Find the title among a file's comments.

    Args:
        comments: of the file, in order.

    Returns:
        The first comment line that is no directive, modeline, licence or ruled line; '' where there is none.
    """
    skipped = -1
    for comment in comments:
        text = comment.text.lstrip("-").strip()
        line = comment.place.line
        if not comment.alone or _RULE.fullmatch(text) or _MODELINE.match(text) or directive(comment.text):
            continue
        if _LICENCE_TEXT.search(text) or line == skipped + 1:
            # the text of a licence runs on to the end of its block of comments
            skipped = line
            continue
        if not _LICENCE.search(text):
            return text
    return ""


def assembled(path: Path, reading: Parser) -> Scenario:
    """Make the Scenario, and complain of what is wrong with the file as a whole.

    Args:
        path: of the file.
        reading: all that was read.

    Returns:
        The scenario; nothing to rely on where a problem was found.
    """
    head, source = reading.head, reading.source
    sessions = {options.name: _session(options, body) for options, body in reading.found.sessions.values()}
    plan = _schedule(reading, sessions)
    scenario = Scenario(
        path=path,
        shown=reading.shown,
        name=path.stem,
        title=head.title or _title(reading),
        source=source.texts[reading.shown],
        tags=frozenset(head.tags),
        timeout=head.timeout,
        requires=tuple(head.requires),
        sandbox=head.sandbox,
        server=tuple(head.server),
        fills=frozenset(
            item.argument
            for body in reading.found.bodies()
            for item in body.items
            if isinstance(item, Fault) and item.kind == "fill"
        ),
        alone=head.alone,
        matrix=tuple(head.matrix.values()),
        given=tuple(head.given.values()),
        schedule=plan,
        oracle=head.oracle,
        oracle_place=head.seen.get("oracle"),
        xfails=tuple(head.xfails),
        leaves=tuple(head.leaves),
        setup=_sections(reading, "setup"),
        teardown=_sections(reading, "teardown"),
        sessions=tuple(sessions.values()),
        invariants=tuple(
            Invariant(body.place, tuple(body.items), options.every, options.may_be_empty, options.at_end)
            for options, body in reading.found.invariants
        ),
        checks=_sections(reading, "check"),
        state=_sections(reading, "state"),
        mutants=tuple(grown(planted, sessions) for planted in reading.found.planted),
        includes=tuple(source.included),
        unsupported=tuple(sorted(head.unsupported)),
        notes=snapshot_notes(reading.found.bodies(), head.matrix),
    )
    notes = _check(reading, scenario, sessions)
    return told_apart(replace(scenario, notes=(*scenario.notes, *notes)) if notes else scenario)


def _title(reading: Parser) -> str:
    lexemes = reading.source.lexemes
    return title_of(one for one in lexemes if isinstance(one, Comment) and one.place.path == reading.shown)


def _sections(reading: Parser, kind: str) -> tuple[Section, ...]:
    return tuple(body.section() for body in reading.found.sections[kind])


def _session(options: SessionOptions, body: SectionBuilder) -> Session:
    repeat = options.repeat or Repeat()
    return Session(
        place=body.place,
        name=options.name,
        items=tuple(body.items),
        steps=tuple(body.steps),
        count=options.count or 1,
        repeat=repeat.count,
        retry=options.retry or Retry(),
        allow=options.allow or (),
        until=repeat.until,
        beside=repeat.beside,
    )


def _schedule(reading: Parser, sessions: dict[str, Session]) -> Schedule:
    written = reading.head.schedule
    if written is None:
        return Schedule()
    place, text = written
    try:
        plan = schedule(text, place)
    except DirectiveError as error:
        reading.complain(place, str(error))
        return Schedule()
    if reading.lost:
        return plan
    if plan.values is not None and not (reading.head.given or any(map(_roams, sessions.values()))):
        reading.complain(place, f"`schedule`: `with {plan.values} values`: nothing is drawn, for there is no `given`")
    plan, problems = settled(plan, sessions)
    reading.problems.extend(problems)
    return plan


def _roams(session: Session) -> bool:
    return any(isinstance(item, Fault) and item.anywhere for item in session.items)


def _check(reading: Parser, scenario: Scenario, sessions: dict[str, Session]) -> tuple[Problem, ...]:
    """Complain of what is wrong with the file as a whole; give notes on what may surprise."""
    bodies = list(reading.found.bodies())
    declared = frozenset([*reading.head.matrix, *reading.head.given])
    for body in bodies:
        check_variables(body, declared, reading.complain)
    check_error_stop(bodies, reading.complain)
    in_sessions = (body for body in bodies if body.kind == "session")
    everything = [sql for body in bodies for sql in body.sources]
    unclear = reading.unended.unclear(everything)
    check_calls(in_sessions, everything, unclear, reading.complain)
    check_unread(bodies, everything, unclear, reading.complain)
    if scenario.sandbox == "schema":
        extensions = frozenset(scenario.extensions)
        check_schema_sandbox(bodies, _replaced(reading), reading.head.matrix, extensions, unclear, reading.complain)
    reading.unended.report_unfinished(unclear)
    if reading.stray is not None and not reading.lost:
        _stray(reading, reading.stray)
        return ()
    # below are checks that miss something; where part of the file could not be read, that may be what they miss
    if reading.lost:
        return ()
    check_faults(scenario, reading.complain)
    _check_sections(reading, bodies)
    check_oracle(bodies, reading.head.oracle is not None, reading.complain)
    _check_sessions(reading, scenario, sessions)
    check_repeats(scenario, reading.complain)
    _check_mutants(reading, scenario, sessions)
    if reading.problems:
        # what could not be read may be what uses a matrix
        return ()
    of_mutants = list(reading.found.of_mutants())
    planted = set(map(id, of_mutants))
    own = [body for body in bodies if id(body) not in planted]
    return check_matrix_used(scenario, own, of_mutants, reading.head.matrix, reading.complain)


def _replaceable(reading: Parser) -> Replaceable:
    found = reading.found
    statements: dict[str | None, list[str]] = {
        name: [sql.text for sql in body.sources] for name, (_, body) in found.sessions.items()
    }
    statements[None] = [sql.text for body in found.sections["setup"] for sql in body.sources]
    return Replaceable(statements, (one for planted in found.planted for one in planted.replaces))


def _replaced(reading: Parser) -> Iterator[tuple[Replace, str]]:
    """Give each replacement of a mutant with the statement that it changes."""
    replaceable = _replaceable(reading)
    for planted in reading.found.planted:
        for one in planted.replaces:
            text = replaceable.statement(one)
            if text is not None:
                yield one, text


def _stray(reading: Parser, stray: Place) -> None:
    what = f"line {stray.line}" if stray.path == reading.shown else str(stray)
    if reading.first_section is None:
        text = f"no section is opened for the SQL in {what}: begin with `-- chaos:setup`, a session or `-- chaos:check`"
    else:
        text = f"SQL stands before the first section, in {what}: `-- chaos:setup` above it is missing"
    reading.complain(Place(reading.shown, 1), text)


def _check_sections(reading: Parser, bodies: list[SectionBuilder]) -> None:
    empty = False
    for body in bodies:
        if body.kind in ("session", "check", "invariant", "state") and not body.items:
            empty = True
            named = f"session `{body.name}`" if body.kind == "session" else f"`{body.kind}`"
            reading.complain(body.place, f"{named} holds nothing: a statement is missing")
    if empty or reading.asserts or reading.found.invariants or reading.found.sections["check"] or reading.head.oracle:
        return
    if not asserts(bodies):
        text = "nothing is asserted: a check section, an invariant, an expect, chaos.assert or an oracle is missing"
        reading.problems.append(Problem(Place(reading.shown, 1), text, whole=True))


def _check_sessions(reading: Parser, scenario: Scenario, sessions: dict[str, Session]) -> None:
    for name, session in sessions.items():
        check_targets(name, session, sessions, reading.complain)
    free = scenario.schedule.kind != "exact"  # an exact schedule refuses the waits themselves
    if free:
        check_signals(sessions.values(), frozenset(), reading.complain)
        check_barriers(sessions.values(), reading.complain)
    given = signals_of(sessions.values())
    for mutant in scenario.mutants:
        for session in mutant.sessions:
            check_targets(session.name, session, sessions, reading.complain)
        if free:
            check_signals(mutant.sessions, given, reading.complain)


def _check_mutants(reading: Parser, scenario: Scenario, sessions: dict[str, Session]) -> None:
    replaceable = _replaceable(reading)
    for planted in reading.found.planted:
        check_mutant(planted, sessions, replaceable, reading.complain)
    if not too_many(scenario.schedule, sessions.values()):
        for mutant in scenario.mutants:
            changed = {**sessions, **{session.name: session for session in mutant.sessions}} if mutant.sessions else {}
            text = too_many(scenario.schedule, changed.values())
            if text:
                reading.complain(mutant.place, f"`mutant`: with it, {text}")
    if scenario.schedule.kind != "exact":
        return
    steps = by_session(scenario.schedule.steps)
    for mutant in scenario.mutants:
        reading.problems.extend(waits(mutant.sessions))
        for session in mutant.sessions:
            misfit = held_by(steps.get(session.name, ()), session)
            if misfit:
                reading.complain(session.place, f"`session`: {misfit}")
