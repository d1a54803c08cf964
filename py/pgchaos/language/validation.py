"""What can be wrong with a file as a whole: names that nobody gives, and promises that nobody checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from pgchaos.language.conditionals import parse_boolean
from pgchaos.language.fault_kinds import PROCESSES, needs_own_server, of_server
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Scenario, Session
from pgchaos.language.pgtap_functions import own_functions, pgtap_calls
from pgchaos.language.problems import Place
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Barrier, Fault, Meta, Signal, WaitBlocked, WaitFor
from pgchaos.language.suggestions import MOST_COMPARED, SESSION_VARIABLES, meant, nearest
from pgchaos.language.toolkit_path import UNQUALIFIED, on_search_path

if TYPE_CHECKING:
    from pgchaos.language.assertions import Names

Complain = Callable[[Place, str], None]

_ASSERT = re.compile(r"\bchaos\s*\.\s*assert\s*\(", re.I)
_BARE_ASSERT = re.compile(r"(?<!\.)\bassert\s*\(", re.I)
_BARRIER_LIKE = 0.75


def asserts(bodies: Collection[SectionBuilder]) -> bool:
    """Say whether a statement, or a function made by it, calls chaos.assert.

    Args:
        bodies: all sections and sessions.
    """
    statements = [sql for body in bodies for sql in body.sources]
    if any(_ASSERT.search(sql.text) for sql in statements):
        return True
    bare = any(_BARE_ASSERT.search(sql.text) for sql in statements)
    return bare and on_search_path(statements, _arguments(bodies)) and "assert" not in own_functions(statements)


def _arguments(bodies: Iterable[SectionBuilder]) -> list[str]:
    """Give what stands behind psql's commands."""
    items = (item for body in bodies for item in body.items)
    args = (argument for item in items if isinstance(item, Meta) for argument in item.args)
    return [part if isinstance(part, str) else part.raw for argument in args for part in argument]


def check_calls(
    sessions: Iterable[SectionBuilder], everything: Iterable[Sql], skip: frozenset[Place], complain: Complain
) -> None:
    """Complain of pgTAP calls in sessions.

    Args:
        sessions: those of the file and of its mutants.
        everything: all statements of the file.
        skip: statements that a missing `;` has run together with others.
        complain: called with the place and text of each problem.
    """
    own: frozenset[str] | None = None
    for body in sessions:
        for sql in body.sources:
            called = pgtap_calls(sql.text)
            if sql.place in skip or not called:
                continue
            own = own_functions(everything) if own is None else own
            if called - own:
                complain(
                    sql.place,
                    f"pgTAP's {min(called - own)}() in session `{body.name}` would go unheard: assert in a check"
                    " section, or here by SELECT chaos.assert(bool, 'description')",
                )


def check_unread(
    sections: Iterable[SectionBuilder], everything: Iterable[Sql], skip: frozenset[Place], complain: Complain
) -> None:
    """Complain of assertions of pgTAP in setup, teardown, state and the SQL of mutants, where nobody reads TAP.

    Args:
        sections: all of the file.
        everything: all statements of the file.
        skip: statements that a missing `;` has run together with others.
        complain: called with the place and text of each problem.
    """
    sections = list(sections)
    unread = UNQUALIFIED - {"assert"}
    names: Names | None = None
    for body in sections:
        if body.kind not in ("setup", "teardown", "state", "mutant"):
            continue
        for sql in body.sources:
            # these calls are outside of quotes, those of DO are inside; the toolkit's names are none of pgTAP's
            lower = sql.text.lower()
            may = sql.verb == "DO" or "chaos" in lower or any(name in lower for name in unread)
            may = may or bool(pgtap_calls(sql.text))
            if sql.place in skip or not may:
                continue
            # files without such a call are collected without loading this
            from pgchaos.language.assertions import first_call, names_in

            names = names or names_in(list(everything), _arguments(sections))
            name = first_call(sql.text, names)
            if name is not None:
                complain(
                    sql.place,
                    f"pgTAP's {name}() in `{body.kind}` would go unheard: assert in a check section, or, but for state,"
                    " here by SELECT chaos.assert(bool, 'description')",
                )


def check_error_stop(bodies: Iterable[SectionBuilder], complain: Complain) -> None:
    r"""Complain of `\set ON_ERROR_STOP 0` in a scenario, where an error that nobody expects is a failure.

    Args:
        bodies: its sections and sessions.
        complain: called with the place and text of each problem.
    """
    for body in bodies:
        for item in body.items:
            words = (
                ["".join(map(str, arg)) for arg in item.args] if isinstance(item, Meta) and item.name == "set" else []
            )
            if words[:1] == ["ON_ERROR_STOP"] and parse_boolean("".join(words[1:])) is False:
                complain(
                    item.place,
                    r"\set ON_ERROR_STOP off counts in plain pgTAP files only; in a scenario, say which error may come:"
                    " `-- chaos:allow CODE` or `-- chaos:expect CODE` in a session, throws_ok() in a check",
                )


def check_variables(body: SectionBuilder, declared: frozenset[str], complain: Complain) -> None:
    """Complain of variables of ours where psql sets none, or sets one that was not meant.

    Args:
        body: a section.
        declared: the variables of matrices and givens.
        complain: called with the place and text of each problem.
    """
    ours = declared | SESSION_VARIABLES if body.kind == "session" else declared
    for sql in body.sources:
        if not (sql.dollar_variables or sql.slice_variables):
            continue
        for name in sorted(sql.dollar_variables & ours):
            use = f"chaos.{name}()" if name in SESSION_VARIABLES else f"chaos.var('{name}')"
            complain(sql.place, f"`:{name}` stands in a dollar quote, where psql sets no variables: use {use} there")
        for name in sorted(sql.slice_variables & ours):
            complain(
                sql.place,
                f"psql takes `:{name}` in a slice for the variable: write [… : {name}] for a column of that name,"
                f" [… : :{name}] for the variable",
            )


def check_targets(name: str, session: Session, sessions: Mapping[str, Session], complain: Complain) -> None:
    """Complain of sessions that a wait or a fault names and that do not exist.

    Args:
        name: of the session that holds the directives.
        session: the same.
        sessions: all of the file, by name.
        complain: called with the place and text of each problem.
    """
    for item in session.items:
        if isinstance(item, WaitBlocked):
            word, target, worker = "wait blocked", item.session, item.worker
            if target == name and worker is None:
                complain(item.place, f"`wait blocked`: session `{name}` cannot wait for itself to be blocked")
        elif isinstance(item, Fault) and item.target not in (None, "server", *PROCESSES):
            word, target, worker = "fault", item.target or "", item.worker
            if target == name:
                _check_own(item, session, complain)
        else:
            continue
        other = sessions.get(target)
        if other is None and isinstance(item, Fault) and item.kind == "kill":
            known = meant(target, sessions, *PROCESSES)
            complain(item.place, f"`fault`: there is no session and no process `{target}`{known}")
        elif other is None:
            complain(item.place, f"`{word}`: there is no session `{target}`{meant(target, sessions)}")
        elif worker is not None and worker > other.count:
            has = "one connection" if other.count == 1 else f"{other.count} connections"
            complain(item.place, f"`{word}`: `{target}[{worker}]` does not exist, session `{target}` has {has}")


def _check_own(fault: Fault, session: Session, complain: Complain) -> None:
    """Complain of a fault that waits for its own session, which does nothing meanwhile."""
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


def check_faults(scenario: Scenario, complain: Complain) -> None:
    """Complain of faults that would strike more than is the scenario's own.

    Args:
        scenario: the file.
        complain: called with the place and text of each problem.
    """
    if scenario.sandbox == "server":
        return
    for setting in scenario.server:
        complain(
            setting.place, "`server`: parameters are those of a server of its own: `-- chaos:sandbox server` is missing"
        )
    sessions = [*scenario.sessions, *(session for mutant in scenario.mutants for session in mutant.sessions)]
    for fault in (item for session in sessions for item in session.items if isinstance(item, Fault)):
        kind = f"{fault.kind} {fault.argument}".strip()
        if needs_own_server(fault):
            text = f"`fault`: `{kind}` takes a server of the scenario's own: `-- chaos:sandbox server` is missing"
            complain(fault.place, text)
        elif of_server(fault) and scenario.sandbox == "schema":
            text = f"`fault`: `{kind}` strikes every session of the server, and with `sandbox schema` others work there"
            complain(
                fault.place, f"{text}: write `-- chaos:sandbox server`, or `-- chaos:alone` without `sandbox schema`"
            )
        elif of_server(fault) and not scenario.alone:
            text = f"`fault`: `{kind}` strikes every session of the server: give the scenario its own by"
            complain(
                fault.place, f"{text} `-- chaos:sandbox server`, or nobody else on the common one by `-- chaos:alone`"
            )


def signals_of(sessions: Iterable[Session]) -> frozenset[str]:
    """Name the signals that sessions give."""
    return frozenset(item.name for session in sessions for item in session.items if isinstance(item, Signal))


def check_signals(waiting: Iterable[Session], given: frozenset[str], complain: Complain) -> None:
    """Complain of signals that are waited for and that nobody gives.

    Args:
        waiting: the sessions whose waits are looked at; what they give themselves counts too.
        given: the signals that others give.
        complain: called with the place and text of each problem.
    """
    waiting = tuple(waiting)
    own = signals_of(waiting)
    if not own <= given:
        given |= own
    for session in waiting:
        for item in session.items:
            if isinstance(item, WaitFor) and item.name not in given:
                hint = meant(item.name, given, none=f": `-- chaos:signal {item.name}` is missing in another session")
                complain(item.place, f"`wait for`: nobody gives the signal `{item.name}`{hint}")


def check_barriers(sessions: Iterable[Session], complain: Complain) -> None:
    """Complain of a barrier that one connection names alone: it would wait for nobody.

    Args:
        sessions: those of the file; every line that names a barrier counts, whatever its `when`.
        complain: called with the place and text of each problem.
    """
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
                f"barrier `{name}` is named by one connection only, so it waits for nobody: name it in another"
                " session too, or give this session `x 2`",
            )
        # of two that are each named once, the later is told of
        elif not (near in lone and first[near] > first[name]):
            complain(first[name], f"`barrier`: no other connection names `{name}`, did you mean `{near}`?")
