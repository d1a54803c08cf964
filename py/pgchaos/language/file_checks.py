"""Checks of the whole file: assertions whose output is not read, unknown names, and faults without their server."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pgchaos.language.assertion_functions import (
    TOOLKIT_TAP,
    command_arguments,
    is_toolkit_on_search_path,
    own_functions,
    pgtap_calls,
)
from pgchaos.language.conditionals import parse_boolean
from pgchaos.language.fault_kinds import (
    PROCESSES,
    affects_server,
    is_server_target,
    name_of,
    needs_own_server,
    targets_connections,
)
from pgchaos.language.header import SESSION_VARIABLES
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Scenario, Session
from pgchaos.language.problems import UNUSED_SIGNAL, Place, Problem
from pgchaos.language.section_builder import Complain, SectionBuilder
from pgchaos.language.section_items import Barrier, Fault, Item, Meta, Signal, WaitBlocked, WaitFor, as_written
from pgchaos.language.suggestions import MOST_COMPARED, nearest, suggest

if TYPE_CHECKING:
    from pgchaos.language.assertions import FunctionNames

_ASSERT = re.compile(r"\bchaos\s*\.\s*assert\s*\(", re.I)
_BARE_ASSERT = re.compile(r"(?<!\.)\bassert\s*\(", re.I)
_BARRIER_LIKE = 0.75

# assertions; the statements in `skip` contain others because of a missing `;`


def asserts(bodies: Collection[SectionBuilder]) -> bool:
    """Whether a statement of the sections, or a function that it creates, calls chaos.assert."""
    statements = [sql for body in bodies for sql in body.sources]
    if any(_ASSERT.search(sql.text) for sql in statements):
        return True
    bare = any(_BARE_ASSERT.search(sql.text) for sql in statements)
    on_path = bare and is_toolkit_on_search_path(statements, command_arguments(_items(bodies)))
    return on_path and "assert" not in own_functions(statements)


def _items(bodies: Iterable[SectionBuilder]) -> Iterator[Item]:
    return (item for body in bodies for item in body.items)


def check_pgtap_in_sessions(
    sessions: Iterable[SectionBuilder], statements: Iterable[Sql], skip: frozenset[Place], complain: Complain
) -> None:
    """Report pgTAP calls in sessions, whose output is not read."""
    own: frozenset[str] | None = None
    for body in sessions:
        for sql in body.sources:
            called = pgtap_calls(sql.text)
            if sql.place in skip or not called:
                continue
            own = own_functions(statements) if own is None else own
            if called - own:
                complain(
                    sql.place,
                    f"the output of pgTAP's {min(called - own)}() in session `{body.name}` is not read: assert in a"
                    " check section, or here by SELECT chaos.assert(bool, 'description')",
                )


def check_unread_assertions(
    sections: Iterable[SectionBuilder], statements: Iterable[Sql], skip: frozenset[Place], complain: Complain
) -> None:
    """Report assertions of pgTAP in setup, teardown, state and the SQL of mutants, whose output is not read."""
    sections = list(sections)
    names: FunctionNames | None = None
    for body in sections:
        if body.kind not in ("setup", "teardown", "state", "mutant"):
            continue
        for sql in body.sources:
            # a fast test: the calls are outside of quotes except in DO; no function of pgTAP has a name of the toolkit
            lower = sql.text.lower()
            may = sql.verb == "DO" or "chaos" in lower or any(name in lower for name in TOOLKIT_TAP)
            may = may or bool(pgtap_calls(sql.text))
            if sql.place in skip or not may:
                continue
            # imported at the first use: most files have no such call
            from pgchaos.language.assertions import first_call, function_names_in

            names = names or function_names_in(list(statements), _items(sections))
            name = first_call(sql.text, names)
            if name is not None:
                other = "" if body.kind == "state" else ", or here by SELECT chaos.assert(bool, 'description')"
                complain(
                    sql.place,
                    f"the output of pgTAP's {name}() in `{body.kind}` is not read: assert in a check section{other}",
                )


_OF_PLAIN_FILES = {
    "ON_ERROR_STOP": (
        "say which error is allowed: `-- chaos:allow CODE` or `-- chaos:expect CODE` in a session,"
        " throws_ok() in a check"
    ),
    "AUTOCOMMIT": "write BEGIN",
}


def check_psql_settings(bodies: Iterable[SectionBuilder], complain: Complain) -> None:
    r"""Report `\set ON_ERROR_STOP 0`, as every unexpected error is a failure in a scenario, and `\set AUTOCOMMIT 0`."""
    for body in bodies:
        for item in body.items:
            if not isinstance(item, Meta) or item.name != "set":
                continue
            words = [as_written(arg) for arg in item.args]
            instead = _OF_PLAIN_FILES.get(words[0]) if words else None
            if instead is not None and parse_boolean("".join(words[1:])) is False:
                complain(item.place, rf"\set {words[0]} off counts in plain pgTAP files only; in a scenario, {instead}")


# names


def check_variables(body: SectionBuilder, declared: frozenset[str], complain: Complain) -> None:
    """Report the file's variables in places where psql does not replace them, or replaces what is not a variable."""
    ours = declared | SESSION_VARIABLES if body.kind == "session" else declared
    for sql in body.sources:
        if not (sql.dollar_variables or sql.slice_variables):
            continue
        for name in sorted(sql.dollar_variables & ours):
            use = f"chaos.{name}()" if name in SESSION_VARIABLES else f"chaos.var('{name}')"
            complain(sql.place, f"`:{name}` is in a dollar quote, where psql replaces no variables: use {use} there")
        for name in sorted(sql.slice_variables & ours):
            complain(
                sql.place,
                f"psql takes `:{name}` in a slice for the variable: write [… : {name}] for a column of that name,"
                f" [… : :{name}] for the variable",
            )


def check_targets(name: str, session: Session, sessions: Mapping[str, Session], complain: Complain) -> None:
    """Report targets of waits and faults that do not exist."""
    for item in session.items:
        if isinstance(item, WaitBlocked):
            word, target, worker = "wait blocked", item.session, item.worker
            if target == name and worker is None:
                complain(item.place, f"`wait blocked`: session `{name}` cannot wait for itself to be blocked")
        elif isinstance(item, Fault) and item.target is not None and not is_server_target(item.target):
            word, target, worker = "fault", item.target, item.worker
            if target == name:
                _check_own_fault(item, session, complain)
        else:
            continue
        other = sessions.get(target)
        if other is None and isinstance(item, Fault) and item.kind == "kill":
            known = suggest(target, sessions, *PROCESSES)
            complain(item.place, f"`fault`: there is no session and no process `{target}`{known}")
        elif other is None:
            complain(item.place, f"`{word}`: there is no session `{target}`{suggest(target, sessions)}")
        elif worker is not None and worker > other.count:
            has = "one connection" if other.count == 1 else f"{other.count} connections"
            complain(item.place, f"`{word}`: `{target}[{worker}]` does not exist, session `{target}` has {has}")


def _check_own_fault(fault: Fault, session: Session, complain: Complain) -> None:
    """Report a fault that waits for a statement of its own session, which does nothing meanwhile."""
    if fault.moment == "during" or not (fault.kind == "cancel" or fault.when_blocked):
        return
    if fault.worker is None or session.count == 1:
        state = "not blocked" if fault.when_blocked else "in no statement"
        blocked = " when blocked" if fault.when_blocked else ""
        complain(
            fault.place,
            f"`fault`: session `{session.name}` itself is {state} {fault.moment} the one below: write `fault"
            f" {fault.kind} during{blocked}`",
        )


def signals_of(sessions: Iterable[Session]) -> frozenset[str]:
    """Return the names of the signals that sessions give."""
    return frozenset(item.name for session in sessions for item in session.items if isinstance(item, Signal))


def check_signals(waiting: Iterable[Session], given: frozenset[str], complain: Complain) -> None:
    """Report waits for signals that neither these sessions nor others (`given`) give."""
    waiting = tuple(waiting)
    own = signals_of(waiting)
    if not own <= given:
        given |= own
    for session in waiting:
        for item in session.items:
            if isinstance(item, WaitFor) and item.name not in given:
                hint = suggest(item.name, given, none=f": `-- chaos:signal {item.name}` is missing in another session")
                complain(item.place, f"`wait for`: no session gives the signal `{item.name}`{hint}")


def unused_signals(scenario: Scenario) -> tuple[Problem, ...]:
    """Return notes on signals that no session waits for; a program, or SQL that calls chaos.wait_for(), may wait."""
    items = [item for session in scenario.all_sessions for item in session.items]
    waited = {item.name for item in items if isinstance(item, WaitFor)}
    unwaited = [item for item in items if isinstance(item, Signal) and item.name not in waited]
    texts = (scenario.source, *(item.text for item in scenario.statements()))
    if not unwaited or scenario.runs_programs or any("wait_for" in text.lower() for text in texts):
        return ()
    text = "`signal`: no session waits for `{0}`: remove it, or write `-- chaos:wait for {0}` in another session"
    return tuple(Problem(item.place, text.format(item.name), rule=UNUSED_SIGNAL) for item in unwaited)


def check_barriers(sessions: Iterable[Session], complain: Complain) -> None:
    """Report a barrier that only one connection names: it would wait for no other."""
    # every line that names a barrier counts, whatever its `when`
    first: dict[str, Place] = {}
    count: dict[str, int] = {}
    for session in sessions:
        barriers = [item for item in session.items if isinstance(item, Barrier)]
        for barrier in barriers:
            first.setdefault(barrier.name, barrier.place)
        for name in {barrier.name for barrier in barriers}:
            count[name] = count.get(name, 0) + session.count
    lone = {name: None for name in first if count[name] == 1}
    many = len(first) > MOST_COMPARED
    for name in lone:
        near = None if many else nearest(name, first.keys() - {name}, _BARRIER_LIKE)
        if near is None:
            complain(
                first[name],
                f"barrier `{name}` is named by one connection only: name it in another session too, or give this"
                " session `x 2`",
            )
        # of two that are each named once, the later one is reported
        elif not (near in lone and first[near] > first[name]):
            complain(first[name], f"`barrier`: no other connection names `{name}`, did you mean `{near}`?")


# faults


def check_network(scenario: Scenario, complain: Complain) -> None:
    """Report `connect` of sessions in a scenario without network faults."""
    items = (item for session in scenario.sessions for item in session.items)
    if any(isinstance(item, Fault) and targets_connections(item) for item in items):
        return
    for session in scenario.sessions:
        if session.connect:
            text = "`session`: `connect` gives time-outs for faults of the network, and there is no such fault"
            complain(session.place, text)


def check_faults(scenario: Scenario, complain: Complain) -> None:
    """Report faults, and parameters of the server, that need a server of the scenario's own, or `alone`."""
    if scenario.sandbox == "server":
        return
    for setting in scenario.server:
        text = "`server`: only a server of its own takes parameters: `-- chaos:sandbox server` is missing"
        complain(setting.place, text)
    for fault in (item for session in scenario.all_sessions for item in session.items if isinstance(item, Fault)):
        kind = name_of(fault)
        shared = f"`fault`: `{kind}` affects every session of the server"
        if needs_own_server(fault):
            text = f"`fault`: `{kind}` needs a server of the scenario's own: `-- chaos:sandbox server` is missing"
            complain(fault.place, text)
        elif affects_server(fault) and scenario.sandbox == "schema":
            complain(
                fault.place,
                f"{shared}, and with `sandbox schema` others work there: write `-- chaos:sandbox server`,"
                " or `-- chaos:alone` without `sandbox schema`",
            )
        elif affects_server(fault) and not scenario.alone:
            complain(
                fault.place,
                f"{shared}: write `-- chaos:sandbox server` for a server of its own,"
                " or `-- chaos:alone` so that nothing else runs on the common one",
            )
