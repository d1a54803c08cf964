"""Builds the Scenario from the parsed file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pgchaos.language.arguments import DirectiveError
from pgchaos.language.directives import find_directive
from pgchaos.language.header_model import Schedule
from pgchaos.language.lexemes import Comment
from pgchaos.language.model import Invariant, Scenario, Section, Session
from pgchaos.language.parser import Parser
from pgchaos.language.schedules import parse_schedule, resolve
from pgchaos.language.search_choices import number_included_faults
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Fault
from pgchaos.language.session_directives import build_session
from pgchaos.language.snapshots import snapshot_notes
from pgchaos.language.validation import validate

_MODELINE = re.compile(r"(?:vim?|ex|kate|emacs|sqlfluff|noqa|pg_format|sql-?lint)\b\s*:|-\*-|noqa\b|\$Id|<!--", re.I)
_LICENCE = re.compile(r"copyright|spdx-|licen[cs]|all rights reserved|\(c\)\s|©", re.I)
_LICENCE_TEXT = re.compile(
    r"permission is|permission to use|redistribut|warrant|this (?:file|program|software) is", re.I
)
_RULED_LINE = re.compile(r"[\W_]*")


def title_of(comments: Iterable[Comment]) -> str:
    """Return the first comment line that is not a directive, a modeline, a licence or a ruled line, or ''."""
    skipped = -1
    for comment in comments:
        text = comment.text.lstrip("-").strip()
        line = comment.place.line
        if (
            not comment.alone
            or not comment.text.startswith("--")
            or _RULED_LINE.fullmatch(text)
            or _MODELINE.match(text)
            or find_directive(comment.text) is not None
        ):
            continue
        if _LICENCE_TEXT.search(text) or line == skipped + 1:
            # the text of a licence extends to the end of its block of comments
            skipped = line
            continue
        if not _LICENCE.search(text):
            return text
    return ""


def build_scenario(path: Path, parser: Parser) -> Scenario:
    """Build the scenario, and report problems of the whole file. With a problem, the scenario must not be used."""
    header, source, found = parser.header, parser.source, parser.sections
    sessions = {options.name: build_session(options, body) for options, body in found.sessions.values()}
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
        poolers=tuple(header.poolers),
        pooler_settings=tuple(header.pooler_settings),
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
        constants=dict(source.constants.values),
        notes=snapshot_notes(found.bodies(), header.known_values(source.constants.values)),
    )
    notes = validate(parser, scenario, sessions)
    return number_included_faults(replace(scenario, notes=(*scenario.notes, *notes)) if notes else scenario)


def _sections(parser: Parser, kind: str) -> tuple[Section, ...]:
    return tuple(body.section() for body in parser.sections.plain[kind])


def _fills(bodies: Iterable[SectionBuilder]) -> frozenset[str]:
    items = (item for body in bodies for item in body.items)
    return frozenset(item.argument for item in items if isinstance(item, Fault) and item.kind == "fill")


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
