"""Checks a file as a whole. The order of the checks prevents that a mistake is reported twice."""

from __future__ import annotations

from collections.abc import Iterator

from pgchaos.language.file_checks import (
    asserts,
    check_barriers,
    check_faults,
    check_network,
    check_pgtap_in_sessions,
    check_psql_settings,
    check_signals,
    check_targets,
    check_unread_assertions,
    check_variables,
    signals_of,
    unused_signals,
)
from pgchaos.language.file_rules import (
    check_constants_used,
    check_given_used,
    check_matrix_used,
    check_oracle,
    check_repeats,
)
from pgchaos.language.model import Replace, Scenario, Session
from pgchaos.language.mutant_texts import ReplaceTargets
from pgchaos.language.mutants import check_mutant
from pgchaos.language.parser import Parser
from pgchaos.language.pooler import check_pooler
from pgchaos.language.problems import Place, Problem
from pgchaos.language.programs import check_programs
from pgchaos.language.schedules import mutant_mismatch, refused_waits, steps_by_session, too_many_interleavings
from pgchaos.language.schema_sandbox import check_schema_sandbox
from pgchaos.language.section_builder import SectionBuilder


def validate(parser: Parser, scenario: Scenario, sessions: dict[str, Session]) -> tuple[Problem, ...]:
    """Report problems of the file as a whole; return notes about what may be unexpected."""
    header, bodies = parser.header, list(parser.sections.bodies())
    declared = frozenset([*header.matrix, *header.given, *header.constants])
    for body in bodies:
        check_variables(body, declared, parser.complain)
    check_psql_settings(bodies, parser.complain)
    statements = [sql for body in bodies for sql in body.sources]
    unclear = parser.unterminated.unclear(statements)
    check_pgtap_in_sessions((body for body in bodies if body.kind == "session"), statements, unclear, parser.complain)
    check_unread_assertions(bodies, statements, unclear, parser.complain)
    if scenario.sandbox == "schema":
        extensions = frozenset(scenario.extensions)
        known = header.known_values(scenario.constants)
        check_schema_sandbox(bodies, _replaced(parser), known, extensions, unclear, parser.complain)
    parser.unterminated.report_unfinished(unclear)
    if parser.stray is not None and not parser.incomplete:
        _report_stray(parser, parser.stray)
        return ()
    # the checks below report what is missing, which may be in a part that could not be parsed
    if parser.incomplete:
        return ()
    check_faults(scenario, parser.complain)
    check_network(scenario, parser.complain)
    check_pooler(scenario, bodies, parser.complain)
    check_programs(scenario, parser.complain)
    _check_program_options(parser, scenario)
    _check_sections(parser, scenario, bodies)
    check_oracle(bodies, header.oracle is not None, parser.complain)
    _check_sessions(parser, scenario, sessions)
    check_repeats(scenario, parser.complain)
    _check_mutants(parser, scenario, sessions)
    if parser.problems:
        # a part that could not be parsed may use a matrix
        return ()
    check_constants_used(header.constants, parser.source.texts.values(), parser.complain)
    check_given_used(scenario, bodies, header.given, parser.complain)
    own, of_mutants = list(parser.sections.own_bodies()), list(parser.sections.mutant_bodies())
    unused = check_matrix_used(scenario, own, of_mutants, header.matrix, parser.problems)
    return (*unused, *unused_signals(scenario))


def _check_program_options(parser: Parser, scenario: Scenario) -> None:
    """Report options for a program on the line of a session that runs none."""
    programs = _programs(scenario)
    for options, body in parser.sections.written_sessions():
        for word, value in (("grace", options.grace), ("allow exit", options.exits)):
            if value is not None and body.place not in programs:
                parser.complain(body.place, f"`{word}`: session `{options.name}` is no program: it has no `run`")


def _programs(scenario: Scenario) -> set[Place]:
    return {session.place for session in scenario.all_sessions if session.program is not None}


def _replace_targets(parser: Parser) -> ReplaceTargets:
    found = parser.sections
    statements: dict[str | None, list[str]] = {
        name: [sql.text for sql in body.sources] for name, (_, body) in found.sessions.items()
    }
    statements[None] = [sql.text for body in found.plain["setup"] for sql in body.sources]
    return ReplaceTargets(statements)


def _replaced(parser: Parser) -> Iterator[tuple[Replace, str]]:
    """Yield each replacement of a mutant with the statement that it changes."""
    targets = _replace_targets(parser)
    for mutant in parser.sections.mutants:
        for one in mutant.replaces:
            places = targets.find(one)
            if len(places) == 1:
                yield one, places[0]


def _report_stray(parser: Parser, stray: Place) -> None:
    where = f"line {stray.line}" if stray.path == parser.shown else str(stray)
    if parser.sections.first is None:
        text = f"the SQL in {where} belongs to no section: begin with `-- chaos:setup`, a session or `-- chaos:check`"
    else:
        text = f"there is SQL before the first section, in {where}: `-- chaos:setup` above it is missing"
    parser.complain(Place(parser.shown, 1), text)


def _check_sections(parser: Parser, scenario: Scenario, bodies: list[SectionBuilder]) -> None:
    programs = _programs(scenario)
    needs_items = (body for body in bodies if body.kind in ("session", "check", "invariant", "state"))
    empty = [body for body in needs_items if body.is_empty and body.place not in programs]
    for body in empty:
        name = f"session `{body.name}`" if body.kind == "session" else f"`{body.kind}`"
        parser.complain(body.place, f"{name} is empty: a statement is missing")
    if not (empty or parser.asserts or asserts(bodies)):
        text = "nothing is asserted: a check section, an invariant, an expect, chaos.assert or an oracle is missing"
        parser.problems.append(Problem(Place(parser.shown, 1), text, whole=True))


def _check_sessions(parser: Parser, scenario: Scenario, sessions: dict[str, Session]) -> None:
    for name, session in sessions.items():
        check_targets(name, session, sessions, parser.complain)
    free = scenario.schedule.kind != "exact"  # an exact schedule allows no waits
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
