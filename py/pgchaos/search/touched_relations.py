"""Asks the server, after setup, what touching a table touches besides, so that a search knows which steps commute.

What a run was seen to lock (pg_locks) would not do: a step may touch more in another interleaving, by a trigger that
fires for no row or a branch that is not taken in this one; and the clock, an advisory lock that was not had, and what
a failed statement touched are in no list of locks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pgchaos.engine.answer import Row
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.text_search import mentions
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault
from pgchaos.language.sql_tokens import tokenize
from pgchaos.schedule.footprint import ANYTHING, NOTHING, Dependence, Footprint
from pgchaos.search.footprints import Unknowable, footprints
from pgchaos.search.touched_tables import KnownDatabase, Relation, calls

# the order of steps may be seen in these
_RECORDED = re.compile(r'\bchaos\b[\s."]+(?:history|transactions|notifications)\b|\bsearch_path\b', re.IGNORECASE)

_PATIENCE = 30.0  # seconds for the answer

_OURS = "NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
_RELATIONS = f"""
    SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relhassubclass, n.nspname
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname {_OURS} AND c.relkind NOT IN ('i', 'I', 't', 'c')
"""
# not of an extension
_OWN = """oid >= 16384 AND oid NOT IN
               (SELECT objid FROM pg_catalog.pg_depend WHERE deptype = 'e' AND classid = 'pg_catalog.{0}'::regclass)"""
# created in setup: pgTAP and the toolkit need not be extensions
_OWN_FUNCTION = _OWN.format("pg_proc") + " AND oid > {newest} AND pronamespace::regnamespace::text <> 'chaos'"
_NEWEST = "SELECT coalesce(max(oid), 0) FROM pg_catalog.pg_proc"
_QUERY = f"""
    WITH r AS ({_RELATIONS})
    SELECT 'relation', relname::text, '' FROM r
    UNION ALL SELECT 'anything', relname, '' FROM r WHERE relkind IN ('f', 'm') OR relrowsecurity OR nspname = 'chaos'
    UNION ALL SELECT 'written', relname, '' FROM pg_catalog.pg_trigger JOIN r ON r.oid = tgrelid WHERE NOT tgisinternal
    UNION ALL SELECT 'anything', relname, '' FROM pg_catalog.pg_rewrite w JOIN r ON r.oid = ev_class
               WHERE NOT (w.rulename = '_RETURN' AND relkind = 'v')
    UNION ALL SELECT 'same', a.relname, b.relname
                FROM pg_catalog.pg_inherits i JOIN r a ON a.oid = inhrelid JOIN r b ON b.oid = inhparent
    UNION ALL SELECT 'refers', a.relname, b.relname
                FROM pg_catalog.pg_constraint k JOIN r a ON a.oid = conrelid JOIN r b ON b.oid = confrelid
               WHERE contype = 'f'
    UNION ALL SELECT 'view', a.relname, b.relname
                FROM pg_catalog.pg_rewrite w JOIN r a ON a.oid = ev_class AND a.relkind = 'v'
                JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
                 AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> a.oid
                JOIN r b ON b.oid = d.refobjid
    UNION ALL SELECT 'text', relname, pg_catalog.pg_get_viewdef(r.oid) FROM r WHERE relkind = 'v'
    UNION ALL SELECT 'anything', relname, '' FROM r
               WHERE relkind = 'v'
                 AND pg_catalog.pg_get_viewdef(r.oid) ~* '\\mfor\\s+(no\\s+key\\s+|key\\s+)?(update|share)'
    UNION ALL SELECT 'draws', a.relname, b.relname
                FROM pg_catalog.pg_attrdef f JOIN r a ON a.oid = adrelid
                JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid
                 AND d.refclassid = 'pg_catalog.pg_class'::regclass
                JOIN r b ON b.oid = d.refobjid AND b.relkind = 'S'
    UNION ALL SELECT 'draws', a.relname, b.relname
                FROM pg_catalog.pg_depend d JOIN r a ON a.oid = d.refobjid
                JOIN r b ON b.oid = d.objid AND b.relkind = 'S'
               WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    UNION ALL SELECT 'value', relname, pg_catalog.pg_get_expr(adbin, adrelid)
                FROM pg_catalog.pg_attrdef JOIN r ON r.oid = adrelid
    UNION ALL SELECT 'value', relname, pg_catalog.pg_get_expr(conbin, conrelid)
                FROM pg_catalog.pg_constraint JOIN r ON r.oid = conrelid WHERE conbin IS NOT NULL
    UNION ALL SELECT 'value', relname, coalesce(pg_catalog.pg_get_expr(indexprs, indrelid), '') || ' AND '
                     || coalesce(pg_catalog.pg_get_expr(indpred, indrelid), '')
                FROM pg_catalog.pg_index JOIN r ON r.oid = indrelid WHERE coalesce(indexprs, indpred) IS NOT NULL
    UNION ALL SELECT 'function', proname::text, '' FROM pg_catalog.pg_proc WHERE {_OWN_FUNCTION}
    UNION ALL SELECT 'off', 'a function may change tables, functions or triggers', '' FROM pg_catalog.pg_proc
               WHERE prosrc ~* '\\m(create|alter|drop|execute)\\M' AND {_OWN_FUNCTION}
    UNION ALL SELECT 'off', 'there are operators that are not the server''s own', '' FROM pg_catalog.pg_operator
               WHERE {_OWN.format("pg_operator")}
    UNION ALL SELECT 'off', 'there are casts that are not the server''s own', '' FROM pg_catalog.pg_cast
               WHERE {_OWN.format("pg_cast")} AND castfunc <> 0
    UNION ALL SELECT 'off', 'a domain has a constraint', '' FROM pg_catalog.pg_constraint
               WHERE contypid <> 0 AND {_OWN.format("pg_constraint")}
    UNION ALL SELECT 'off', 'there are settings of the database or of a role', '' FROM pg_catalog.pg_db_role_setting s
               WHERE setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
                 AND EXISTS (SELECT FROM unnest(setconfig) one WHERE one ~ '^default_transaction|_timeout=')
    UNION ALL SELECT 'level', current_setting('default_transaction_isolation'), ''
"""


@dataclass(slots=True)
class _NameFacts:
    """What the server says of one name."""

    # its partitions and the tables that it inherits from; of a view, those that it reads
    near: set[str] = field(default_factory=set)
    # written with it: tables that it refers to or that refer to it, and sequences
    bound: set[str] = field(default_factory=set)
    reading: Footprint = NOTHING  # what else reading it touches
    writing: Footprint = NOTHING  # what else writing to it touches


class DependenceFinder:
    """Finds out, once for each variant of a scenario, which of its steps commute.

    Args:
        scenario: as it is run.
        variables: of its matrix, and drawn.
        theirs: the database existed before, so that its functions may be the user's.
    """

    def __init__(self, scenario: Scenario, variables: Mapping[str, str], *, theirs: bool) -> None:
        self._scenario, self._variables = scenario, variables
        self._asked = not may_commute(scenario)
        self._newest = 0 if theirs else None
        self.dependence = Dependence()

    def before(self, connection: Connection) -> None:
        """Note which functions exist before setup; later calls do nothing."""
        if self._asked or self._newest is not None:
            return
        try:
            self._newest = newest_function(connection)
        except ConnectionLost:
            self._asked = True

    def after(self, connection: Connection) -> None:
        """Examine the database after setup; later calls do nothing."""
        if self._asked or self._newest is None:
            return
        self._asked = True
        try:
            known, level = known_from(database_facts(connection, self._newest))
            steps = {one.name: footprints(one, self._variables, known, level) for one in self._scenario.sessions}
        except (ConnectionLost, Unknowable):
            # then all steps depend on one another
            return
        self.dependence.know(steps, {one.name: one.repeat for one in self._scenario.sessions})


def may_commute(scenario: Scenario) -> bool:
    """Whether nothing shows the order itself, after every step or in records, and no fault interrupts."""
    has_monitored = any(not invariant.at_end for invariant in scenario.invariants)
    breaks = any(isinstance(item, Fault) for session in scenario.sessions for item in session.items)
    return not (has_monitored or breaks or mentions(scenario, _RECORDED))


def _rows(connection: Connection, query: str) -> list[Row]:
    return connection.rows(query, connection.within(_PATIENCE))


def newest_function(connection: Connection) -> int:
    """Give the highest oid of a function: those of setup will have higher ones.

    Raises:
        ConnectionLost: the server does not answer.
    """
    ((newest,),) = _rows(connection, _NEWEST)
    return int(str(newest))


def database_facts(connection: Connection, newest: int) -> list[tuple[str, str, str]]:
    """Ask what setup has made, as `known_from` takes it.

    Args:
        connection: to the database.
        newest: the highest oid of a function before setup.

    Raises:
        ConnectionLost: the server does not answer.
    """
    query = _QUERY.replace("{newest}", str(newest))
    return [(str(what), str(name), str(other)) for what, name, other in _rows(connection, query)]


def known_from(facts: Iterable[tuple[str, str, str]]) -> tuple[KnownDatabase, str]:
    """Join what the server says: the relations, and the isolation level of a transaction that names none."""
    facts = list(facts)
    functions = frozenset(name for what, name, _ in facts if what == "function")
    relations: dict[str, _NameFacts] = defaultdict(_NameFacts)
    level = "serializable"
    for what, name, other in facts:
        match what:
            case "off":
                raise Unknowable(name)
            case "level":
                level = name
            case "relation":
                relations[name].near.add(name)
            case "anything":
                relations[name].reading = relations[name].writing = ANYTHING
            case "written":
                relations[name].writing = ANYTHING
            case "same":
                relations[name].near.add(other)
                relations[other].near.add(name)
            case "view":
                relations[name].near.add(other)
            case "refers":
                relations[name].bound.add(other)
                relations[other].bound.add(name)
            case "draws":
                relations[name].bound.add(other)
            case "text" | "value":
                touches = calls(tokenize(_without_sequence(other)), KnownDatabase(functions=functions))
                relations[name].writing |= touches
                if what == "text":
                    relations[name].reading |= touches
    return KnownDatabase({name: _relation(name, relations) for name in relations}, functions), level


def _without_sequence(text: str) -> str:
    """Remove the nextval of a column: its sequence is listed by itself."""
    return re.sub(r"\bnextval\('[^']*'::regclass\)", "0", text)


def _relation(name: str, relations: Mapping[str, _NameFacts]) -> Relation:
    reads = _reached([name], relations, bound=False)
    writes = _reached([name], relations, bound=True)
    reading, writing = Footprint(reads), Footprint(frozenset(), writes)
    for one in reads:
        reading |= relations[one].reading
    for one in writes:
        writing |= relations[one].writing
    return Relation(reading, writing)


def _reached(names: list[str], relations: Mapping[str, _NameFacts], *, bound: bool) -> frozenset[str]:
    reached, left = set(names), list(names)
    while left:
        one = relations[left.pop()]
        more = (one.near | one.bound if bound else one.near) - reached
        reached |= more
        left += more
    return frozenset(reached)
