"""Builds the Scenario from what was parsed, and checks the file as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pgchaos.language.arguments import DirectiveError
from pgchaos.language.directives import find_directive
from pgchaos.language.file_rules import check_matrix_used, check_oracle, check_repeats
from pgchaos.language.header_model import Schedule
from pgchaos.language.lexemes import Comment
from pgchaos.language.model import Invariant, Repeat, Replace, Retry, Scenario, Section, Session
from pgchaos.language.mutant_texts import ReplaceTargets
from pgchaos.language.mutants import check_mutant
from pgchaos.language.parser import Parser
from pgchaos.language.problems import Place, Problem
from pgchaos.language.schedules import (
    mutant_mismatch,
    parse_schedule,
    refused_waits,
    resolve,
    steps_by_session,
    too_many_interleavings,
)
from pgchaos.language.schema_sandbox import check_schema_sandbox
from pgchaos.language.search_choices import number_included_faults
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Fault
from pgchaos.language.session_directives import SessionOptions
from pgchaos.language.snapshots import snapshot_notes
from pgchaos.language.validation import (
    asserts,
    check_barriers,
    check_error_stop,
    check_faults,
    check_pgtap_in_sessions,
    check_signals,
    check_targets,
    check_unread_assertions,
    check_variables,
    signals_of,
)

_MODELINE = re.compile(r"(?:vim?|ex|kate|emacs|sqlfluff|noqa|pg_format|sql-?lint)\b\s*:|-\*-|noqa\b|\$Id|<!--", re.I)
_LICENCE = re.compile(r"copyright|spdx-|licen[cs]|all rights reserved|\(c\)\s|©", re.I)
_LICENCE_TEXT = re.compile(
    r"permission is|permission to use|redistribut|warrant|this (?:file|program|software) is", re.I
)
_RULED_LINE = re.compile(r"[\W_]*")


def title_of(comments: Iterable[Comment]) -> str:
    """Find the first comment line that is not a directive, a modeline, a licence or a ruled line; '' without one."""
    skipped = -1
    for comment in comments:
        text = comment.text.lstrip("-").strip()
        line = comment.place.line
        if (
            not comment.alone
            or _RULED_LINE.fullmatch(text)
            or _MODELINE.match(text)
            or find_directive(comment.text) is not None
        ):
            continue
        if _LICENCE_TEXT.search(text) or line == skipped + 1:
            # the text of a licence goes on to the end of its block of comments
            skipped = line
            continue
        if not _LICENCE.search(text):
            return text
    return ""


def build_scenario(path: Path, parser: Parser) -> Scenario:
    """Build the scenario, and report what is wrong with the file as a whole.

    Args:
        path: of the file.
        parser: which has parsed it.

    Returns:
        The scenario; it is only of use where the parser has no problems.
    """
    header, source, found = parser.header, parser.source, parser.sections
    sessions = {options.name: _session(options, body) for options, body in found.sessions.values()}
    schedule = _schedule(parser, sessions)
    own_comments = (one for one in source.lexemes if isinstance(one, Comment) and one.place.path == parser.shown)
    scenario = Scenario(
        path=path,
        shown=parser.shown,
        name=path.stem,
        title=header.title or title_of(own_comments),
        source=source.texts[parser.shown],
        tags=frozenset(header.tags),
        timeout=header.timeout,
        requires=tuple(header.requires),
        sandbox=header.sandbox,
        server=tuple(header.server),
        fills=_fills(found.bodies()),
        alone=header.alone,
        matrix=tuple(header.matrix.values()),
        given=tuple(header.given.values()),
        schedule=schedule,
        oracle=header.oracle,
        oracle_place=header.seen.get("oracle"),
        xfails=tuple(header.xfails),
        leaves=tuple(header.leaves),
        setup=_sections(parser, "setup"),
        teardown=_sections(parser, "teardown"),
        sessions=tuple(sessions.values()),
        invariants=tuple(
            Invariant(body.place, tuple(body.items), options.every, options.may_be_empty, options.at_end)
            for options, body in found.invariants
        ),
        checks=_sections(parser, "check"),
        state=_sections(parser, "state"),
        mutants=tuple(mutant.build(sessions) for mutant in found.mutants),
        includes=tuple(source.included),
        unsupported=tuple(sorted(header.unsupported)),
        notes=snapshot_notes(found.bodies(), header.matrix),
    )
    notes = _check(parser, scenario, sessions)
    return number_included_faults(replace(scenario, notes=(*scenario.notes, *notes)) if notes else scenario)


def _sections(parser: Parser, kind: str) -> tuple[Section, ...]:
    return tuple(body.section() for body in parser.sections.plain[kind])


def _fills(bodies: Iterable[SectionBuilder]) -> frozenset[str]:
    items = (item for body in bodies for item in body.items)
    return frozenset(item.argument for item in items if isinstance(item, Fault) and item.kind == "fill")


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
        repeat_while=repeat.repeat_while,
    )


def _schedule(parser: Parser, sessions: dict[str, Session]) -> Schedule:
    args = parser.header.schedule
    if args is None:
        return Schedule()
    try:
        schedule = parse_schedule(args)
    except DirectiveError as error:
        parser.complain(args.place, str(error))
        return Schedule()
    if parser.incomplete:
        return schedule
    if schedule.values is not None and not (parser.header.given or any(map(_draws_faults, sessions.values()))):
        parser.complain(
            args.place, f"`schedule`: `with {schedule.values} values`: no value is drawn, because there is no `given`"
        )
    schedule, problems = resolve(schedule, sessions)
    parser.problems.extend(problems)
    return schedule


def _draws_faults(session: Session) -> bool:
    return any(isinstance(item, Fault) and item.anywhere for item in session.items)


def _check(parser: Parser, scenario: Scenario, sessions: dict[str, Session]) -> tuple[Problem, ...]:
    """Check the file as a whole; gives notes on what may surprise."""
    header, bodies = parser.header, list(parser.sections.bodies())
    declared = frozenset([*header.matrix, *header.given])
    for body in bodies:
        check_variables(body, declared, parser.complain)
    check_error_stop(bodies, parser.complain)
    statements = [sql for body in bodies for sql in body.sources]
    unclear = parser.unterminated.unclear(statements)
    check_pgtap_in_sessions((body for body in bodies if body.kind == "session"), statements, unclear, parser.complain)
    check_unread_assertions(bodies, statements, unclear, parser.complain)
    if scenario.sandbox == "schema":
        extensions = frozenset(scenario.extensions)
        check_schema_sandbox(bodies, _replaced(parser), header.matrix, extensions, unclear, parser.complain)
    parser.unterminated.report_unfinished(unclear)
    if parser.stray is not None and not parser.incomplete:
        _report_stray(parser, parser.stray)
        return ()
    # The checks below report what is missing. Where part of the file could not be read, it may be there.
    if parser.incomplete:
        return ()
    check_faults(scenario, parser.complain)
    _check_sections(parser, bodies)
    check_oracle(bodies, header.oracle is not None, parser.complain)
    _check_sessions(parser, scenario, sessions)
    check_repeats(scenario, parser.complain)
    _check_mutants(parser, scenario, sessions)
    if parser.problems:
        # what could not be read may use a matrix
        return ()
    own, of_mutants = list(parser.sections.own_bodies()), list(parser.sections.mutant_bodies())
    return check_matrix_used(scenario, own, of_mutants, header.matrix, parser.complain)


def _replace_targets(parser: Parser) -> ReplaceTargets:
    found = parser.sections
    statements: dict[str | None, list[str]] = {
        name: [sql.text for sql in body.sources] for name, (_, body) in found.sessions.items()
    }
    statements[None] = [sql.text for body in found.plain["setup"] for sql in body.sources]
    return ReplaceTargets(statements, (one for mutant in found.mutants for one in mutant.replaces))


def _replaced(parser: Parser) -> Iterator[tuple[Replace, str]]:
    """Yield each replacement of a mutant with the statement that it changes."""
    targets = _replace_targets(parser)
    for mutant in parser.sections.mutants:
        for one in mutant.replaces:
            text = targets.statement(one)
            if text is not None:
                yield one, text


def _report_stray(parser: Parser, stray: Place) -> None:
    where = f"line {stray.line}" if stray.path == parser.shown else str(stray)
    if parser.sections.first is None:
        text = f"the SQL in {where} belongs to no section: begin with `-- chaos:setup`, a session or `-- chaos:check`"
    else:
        text = f"there is SQL before the first section, in {where}: `-- chaos:setup` above it is missing"
    parser.complain(Place(parser.shown, 1), text)


def _check_sections(parser: Parser, bodies: list[SectionBuilder]) -> None:
    empty = [body for body in bodies if body.kind in ("session", "check", "invariant", "state") and not body.items]
    for body in empty:
        name = f"session `{body.name}`" if body.kind == "session" else f"`{body.kind}`"
        parser.complain(body.place, f"{name} is empty: a statement is missing")
    if not (empty or parser.asserts or asserts(bodies)):
        text = "nothing is asserted: a check section, an invariant, an expect, chaos.assert or an oracle is missing"
        parser.problems.append(Problem(Place(parser.shown, 1), text, whole=True))


def _check_sessions(parser: Parser, scenario: Scenario, sessions: dict[str, Session]) -> None:
    for name, session in sessions.items():
        check_targets(name, session, sessions, parser.complain)
    free = scenario.schedule.kind != "exact"  # an exact schedule refuses the waits themselves
    if free:
        check_signals(sessions.values(), frozenset(), parser.complain)
        check_barriers(sessions.values(), parser.complain)
    given = signals_of(sessions.values())
    for mutant in scenario.mutants:
        for session in mutant.sessions:
            check_targets(session.name, session, sessions, parser.complain)
        if free:
            check_signals(mutant.sessions, given, parser.complain)


def _check_mutants(parser: Parser, scenario: Scenario, sessions: dict[str, Session]) -> None:
    targets = _replace_targets(parser)
    for built in parser.sections.mutants:
        check_mutant(built, sessions, targets, parser.complain)
    if not too_many_interleavings(scenario.schedule, sessions.values()):
        for mutant in scenario.mutants:
            changed = {**sessions, **{session.name: session for session in mutant.sessions}} if mutant.sessions else {}
            text = too_many_interleavings(scenario.schedule, changed.values())
            if text:
                parser.complain(mutant.place, f"`mutant`: with it, {text}")
    if scenario.schedule.kind != "exact":
        return
    steps = steps_by_session(scenario.schedule.steps)
    for mutant in scenario.mutants:
        parser.problems.extend(refused_waits(mutant.sessions))
        for session in mutant.sessions:
            mismatch = mutant_mismatch(steps.get(session.name, ()), session)
            if mismatch:
                parser.complain(session.place, f"`session`: {mismatch}")
