"""`pgchaos explain`: describes what a scenario does, before it is run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pgchaos.commands.dependences import StepTouch, different_orders, name_of, shared, touch, touches
from pgchaos.commands.errors import DONE, FOUND, CommandError
from pgchaos.commands.facts_from_text import Fact, facts_in
from pgchaos.commands.lint import read_scenario
from pgchaos.commands.project import project_of
from pgchaos.commands.wrapping import terminal_width
from pgchaos.language.fault_kinds import affects_server, describe
from pgchaos.language.file_text import Unreadable, text_of
from pgchaos.language.header_model import Pooler, ServerSetting
from pgchaos.language.model import Scenario, Session
from pgchaos.language.reader import is_scenario, tags_in, variants
from pgchaos.language.schedules import COUNTED, interleavings
from pgchaos.language.section_items import (
    AllowExit,
    Barrier,
    Expect,
    Fault,
    Item,
    Signal,
    Statement,
    WaitBlocked,
    WaitFor,
)
from pgchaos.report.wrapping import fitted, unbroken
from pgchaos.safe_output import one_line
from pgchaos.search.footprints import Unknowable
from pgchaos.search.touched_relations import known_from, may_commute
from pgchaos.search.touched_tables import KnownDatabase

_TIES = (Barrier, Signal, WaitFor, WaitBlocked)
_WIDEST = 60  # characters of a statement


def explain(options: argparse.Namespace) -> int:
    """Print what a scenario does."""
    path = Path(options.file)
    try:
        text = text_of(path)
    except Unreadable as error:
        raise CommandError(f"the file {path} {error}") from None
    if not is_scenario(text, path):
        raise CommandError(f"{path} is no scenario: it has no `-- chaos:` directive; psql or pg_prove run it as it is")
    tags = {*project_of(Path.cwd()).tags, *tags_in(text)}
    scenario, errors = read_scenario(path, tags)
    if scenario is None:
        print("\n".join(one_line(str(error)) for error in errors))
        return FOUND
    variables = {**scenario.constants, **variants(scenario)[0]}
    facts, source = facts_in(scenario), "the text of setup; --server asks a server"
    if options.server is not None or options.pg_bindir:
        from pgchaos.commands.explain_server import facts_of_server

        source, facts = facts_of_server(scenario, variables, options.server or "", options.pg_bindir)
    width = terminal_width()
    for line in _explained(scenario, variables, facts, source):
        print(fitted(one_line(line), width))
    return DONE


def _explained(scenario: Scenario, variables: Mapping[str, str], facts: list[Fact], source: str) -> Iterator[str]:
    yield f"{scenario.shown}: {scenario.title or scenario.name}"
    yield from ("", "Needs", *_indented(_needs(scenario)))
    try:
        known, level = known_from(facts)
        unknown = ""
    except Unknowable as error:
        known, level, unknown = KnownDatabase(), "read committed", str(error)
    steps = {session.name: touches(session, variables, known) for session in scenario.sessions}
    for session in scenario.sessions:
        yield from ("", _session_line(session), *_indented(_step_lines(session, variables, known, scenario.shown)))
    if scenario.runs_programs:
        yield from ("", "Interleavings", *_indented(_program_lines(scenario)))
    elif scenario.connections > 1:
        yield from ("", f"What depends on what (by {source})")
        yield from _indented([unknown] if unknown else _dependence_lines(scenario, steps))
        yield from ("", "Interleavings", *_indented(_order_lines(scenario, variables, known, level, unknown)))
    yield from ("", "Faults", *_indented(_faults(scenario) or ["none"]))
    yield from ("", "What is asserted", *_indented(_assertions(scenario)))


def _indented(lines: Iterator[str] | list[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _needs(scenario: Scenario) -> Iterator[str]:
    yield {
        "database": "a database of its own",
        "schema": "a schema of its own",
        "server": "a private server of its own, which pgchaos starts",
    }[scenario.sandbox]
    for one in scenario.requires:
        version = f" {one.operator} {one.version}" if one.operator else ""
        call = "()" if one.kind == "extension" else ""
        with_what = f" with {one.function}{call}" if one.function else ""
        yield f"{f'{one.kind} {one.name}'.strip()}{version}{with_what}, else it is skipped"
    for pooler in scenario.poolers:
        size = f", {pooler.size} connection{'s' * (pooler.size != 1)} at most" if pooler.size else ""
        mode = f"PgBouncer between the sessions and the server, in mode {pooler.mode}{size}"
        yield f"{mode}{_condition(pooler)}, else it is skipped"
    for setting in scenario.pooler_settings:
        yield f"PgBouncer's {setting.name} = {setting.value}{_condition(setting)}"
    if scenario.alone:
        yield "nothing else on the server meanwhile"
    if any(affects_server(fault) for _, fault in _fault_items(scenario)) and scenario.sandbox != "server":
        yield "a server that pgchaos started: a fault harms all of it"
    if scenario.fills & {"disk", "wal"}:
        yield "root, to mount a small file system that can be filled"
    if scenario.given or any(fault.anywhere for _, fault in _fault_items(scenario)):
        yield "the package hypothesis, which draws the values, else it is skipped"
    for setting in scenario.server:
        yield f"the server's {setting.name} = {setting.value}{_condition(setting)}"
    connections = scenario.connections
    more = "; a program may open several" if scenario.runs_programs else ""
    yield f"{connections} connection{'s' * (connections != 1)} for the sessions, and some for pgchaos itself{more}"
    for matrix in scenario.matrix:
        yield f"one run for each {matrix.name}: {', '.join(matrix.values)} (below: {matrix.values[0]})"
    for given in scenario.given:
        yield f"values of {given.name} are drawn at random"


def _session_line(session: Session) -> str:
    one, several = ("connection", "connections") if session.program is None else ("process", "processes")
    parts = [f"{session.count} {one if session.count == 1 else several}"]
    if session.repeat_while:
        parts.append(f"again and again while {session.repeat_while} runs")
    elif session.repeat > 1:
        until = f" or until {session.until} is true" if session.until else ""
        parts.append(f"{session.repeat} times each{until}")
    if session.retry.codes:
        parts.append(
            f"retries after {', '.join(code.name for code in session.retry.codes)}, {session.retry.limit} times"
        )
    if session.allow:
        parts.append(f"may fail with {', '.join(code.name for code in session.allow)}")
    if session.connect:
        parts.append(f"connects with {' '.join(f'{name}={value}' for name, value in session.connect)}")
    if session.program is not None and session.program.exits:
        parts.append(f"may end with status {_listed(session.program.exits)}")
    return f"Session {session.name}: {'; '.join(parts)}"


def _listed(statuses: Iterable[int]) -> str:
    return " or ".join(map(str, statuses))


def _step_lines(session: Session, variables: Mapping[str, str], known: KnownDatabase, shown: str) -> Iterator[str]:
    begun: set[str] = set()
    if session.program is not None:
        yield f"{session.program.place.line:>4}  {'':<8} runs {unbroken(session.program.text)}"
    for item in session.items:
        line = str(item.place.line) if item.place.path == shown else str(item.place)
        if isinstance(item, Statement):
            name = "" if item.step in begun else item.step
            begun.add(item.step)
            text, what = " ".join(item.text.split()), _touch_text(touch(item, variables, known))
            cut = text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
            yield f"{line:>4}  {name:<8} {unbroken(cut)}{f'   -> {what}' if what else ''}"
        elif (directive := _directive(item, program=session.program is not None)) is not None:
            yield f"{line:>4}  {'':<8} -- {directive}{_condition(item)}"


def _condition(item: Item | Pooler | ServerSetting) -> str:
    when = getattr(item, "when", None)
    return "" if when is None else f", when {when.name} is {' or '.join(when.values)}"


def _fault_target(fault: Fault, *, program: bool) -> str:
    if not program:
        return "the next statement"
    return f"a request like '{unbroken(fault.statement)}'" if fault.statement else "a request"


def _directive(item: Item, *, program: bool) -> str | None:
    match item:
        case Barrier():
            return f"waits at {item.name} for all that name it{' or are blocked' if item.unless_blocked else ''}"
        case Signal():
            return f"gives the signal {item.name}"
        case WaitFor():
            return f"waits for the signal {item.name}"
        case WaitBlocked():
            return f"waits until {item.session} is blocked"
        case Expect():
            return f"the next statement must fail with {' or '.join(code.name for code in item.codes)}"
        case AllowExit():
            return f"may end with status {_listed(item.statuses)}"
        case Fault():
            return f"{describe(item)} {item.moment} {_fault_target(item, program=program)}"
    return None


def _touch_text(one: StepTouch) -> str:
    if one.why:
        return f"may touch anything: {one.why}"
    writes, reads = sorted(one.footprint.writes), sorted(one.footprint.reads - one.footprint.writes)
    parts = [f"writes or locks {', '.join(map(name_of, writes))}"] if writes else []
    parts += [f"reads {', '.join(map(name_of, reads))}"] if reads else []
    parts += ["ends the transaction: its changes become visible, its locks are released"] if one.ends else []
    return "; ".join(parts)


def _dependence_lines(scenario: Scenario, steps: Mapping[str, tuple[StepTouch, ...]]) -> Iterator[str]:
    found = shared(scenario.sessions, steps)
    for one in found:
        readers = f"; read by {', '.join(one.readers)}" if one.readers else ""
        yield f"{name_of(one.name)}: written or locked by {', '.join(one.writers)}{readers}"
    wild = [f"{name}.{one.step}" for name, some in steps.items() for one in some if one.why]
    if wild:
        yield f"anything: {', '.join(wild)}, so each step of the others depends on these"
    named = {step for one in found for step in (*one.writers, *one.readers)}
    free = [
        f"{name}.{one.step}"
        for name, some in steps.items()
        for one in some
        if not (one.why or one.ends) and f"{name}.{one.step}" not in named
    ]
    if free and not wild:
        yield f"touch nothing that another connection changes: {', '.join(free)}"


def _program_lines(scenario: Scenario) -> Iterator[str]:
    yield "the steps of a program, what they touch and their interleavings are known only when it sends them"
    kind, limit = scenario.schedule.kind, scenario.schedule.limit or 0
    if kind == "free":
        yield "no schedule: the server decides, so each run may take another order"
    else:
        search = "a search" if kind == "explore" else "each order"
        yield f"{search} runs {limit:,} at most, the fewest interruptions first"


def _order_lines(
    scenario: Scenario, variables: Mapping[str, str], known: KnownDatabase, level: str, unknown: str
) -> Iterator[str]:
    schedule = scenario.schedule
    total = interleavings(scenario.sessions, COUNTED)
    many = f"more than {COUNTED:,}" if total > COUNTED else f"{total:,}"
    yield f"{many} interleaving{'s' * (total != 1)} of the steps, if none ever waits for another"
    match schedule.kind:
        case "free":
            yield "no schedule: the server decides, within the waits above, so each run may take another order"
        case "exact":
            steps = " ".join(f"{one.session}[{one.worker}].{one.step}" for one in schedule.steps)
            yield f"the schedule is one of them: {steps}"
        case "all":
            yield f"each is run{f', {schedule.limit:,} at most' if schedule.limit else ''}"
        case "explore":
            yield f"a search runs {schedule.limit or 0:,} at most, those with the fewest interruptions first"
    if schedule.kind != "exact":
        yield from _reduction_lines(scenario, variables, known, level, unknown)


def _reduction_lines(
    scenario: Scenario, variables: Mapping[str, str], known: KnownDatabase, level: str, unknown: str
) -> Iterator[str]:
    why = unknown
    if scenario.poolers:
        why = "sessions share the connections of the pooler"
    elif not may_commute(scenario):
        why = "a fault, an invariant or the history may show the order of any two steps"
    elif any(isinstance(item, _TIES) for session in scenario.sessions for item in session.items):
        why = "a barrier, a signal or a wait ties the steps of its session to all others"
    different, also_why = (0, "") if why else different_orders(scenario, variables, known, level)
    if why or also_why:
        yield f"a search takes all for different: {why or also_why}"
    elif different:
        yield f"{different:,} of them differ: `explore` runs one of those that differ only in neighbours that commute"
    else:
        yield "more of them differ than can be counted here"


def _fault_items(scenario: Scenario) -> list[tuple[Session, Fault]]:
    return [(session, item) for session in scenario.sessions for item in session.items if isinstance(item, Fault)]


def _faults(scenario: Scenario) -> list[str]:
    lines = []
    for session, fault in _fault_items(scenario):
        target = _fault_target(fault, program=session.program is not None)
        when = " at any statement, which a search chooses" if fault.anywhere else f" {fault.moment} {target}"
        blocked = ", once it is blocked" if fault.when_blocked else ""
        nth = f", at execution {fault.nth} only" if fault.nth else ", at every execution" * (fault.nth == 0)
        lines.append(f"{fault.place}: {describe(fault)} in {session.name},{when}{blocked}{nth}{_condition(fault)}")
    return lines


def _assertions(scenario: Scenario) -> Iterator[str]:
    for section in scenario.checks:
        statements = sum(isinstance(item, Statement) for item in section.items)
        yield f"{section.place}: a check of {statements} statement{'s' * (statements != 1)}, after the sessions"
    for invariant in scenario.invariants:
        when = "at the end" if invariant.at_end else f"every {invariant.every * 1000:g} ms while the sessions run"
        yield f"{invariant.place}: an invariant, {when}"
    if scenario.oracle:
        yield f"{scenario.oracle_place}: the outcome is that of some serial order of the transactions"
    for xfail in scenario.xfails:
        yield f"{xfail.place}: {xfail.name or 'any assertion'} is expected to fail: {xfail.reason}"
    for mutant in scenario.mutants:
        caught = ", ".join(f"'{name}'" for name in mutant.caught_by)
        yield f"{mutant.place}: with the bug `{mutant.name}` planted (--chaos-mutants), {caught} must fail"
    if not scenario.mutants:
        yield "no mutant shows that it can fail"
