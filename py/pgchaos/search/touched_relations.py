"""Reads from the catalog, after setup, what else a statement on a table touches: so a search knows which steps commute.

Locks that a run was seen to take (pg_locks) are not enough. A step may touch more in another interleaving: a trigger
may have fired for no row, or a branch may not have been taken. The clock, an advisory lock that was not granted, and
what a failed statement touched do not appear as locks.
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

# the order of steps may be visible in these
_RECORDED = re.compile(r'\bchaos\b[\s."]+(?:history|transactions|notifications)\b|\bsearch_path\b', re.IGNORECASE)

_ANSWER_LIMIT = 30.0  # seconds

_NOT_SYSTEM = "NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
_RELATIONS = f"""
    SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relhassubclass, n.nspname
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname {_NOT_SYSTEM} AND c.relkind NOT IN ('i', 'I', 't', 'c')
"""
# created by a user, not by an extension
_USER_OBJECT = """oid >= 16384 AND oid NOT IN
               (SELECT objid FROM pg_catalog.pg_depend WHERE deptype = 'e' AND classid = 'pg_catalog.{0}'::regclass)"""
# created by setup: pgTAP and the toolkit are older, but may not be extensions
_USER_FUNCTION = _USER_OBJECT.format("pg_proc") + " AND oid > {newest} AND pronamespace::regnamespace::text <> 'chaos'"
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
    UNION ALL SELECT 'value', relname,
                     pg_catalog.pg_get_expr(adbin, CASE WHEN attgenerated = '' THEN 0 ELSE adrelid END)
                FROM pg_catalog.pg_attrdef JOIN r ON r.oid = adrelid
                JOIN pg_catalog.pg_attribute ON attrelid = adrelid AND attnum = adnum
    UNION ALL SELECT 'value', relname, pg_catalog.pg_get_expr(conbin, conrelid)
                FROM pg_catalog.pg_constraint JOIN r ON r.oid = conrelid WHERE conbin IS NOT NULL
    UNION ALL SELECT 'value', relname, coalesce(pg_catalog.pg_get_expr(indexprs, indrelid), '') || ' AND '
                     || coalesce(pg_catalog.pg_get_expr(indpred, indrelid), '')
                FROM pg_catalog.pg_index JOIN r ON r.oid = indrelid WHERE coalesce(indexprs, indpred) IS NOT NULL
    UNION ALL SELECT 'function', proname::text, '' FROM pg_catalog.pg_proc WHERE {_USER_FUNCTION}
    UNION ALL SELECT 'off', 'a function may change tables, functions or triggers', '' FROM pg_catalog.pg_proc
               WHERE prosrc ~* '\\m(create|alter|drop|execute)\\M' AND {_USER_FUNCTION}
    UNION ALL SELECT 'off', 'there are operators that are not the server''s own', '' FROM pg_catalog.pg_operator
               WHERE {_USER_OBJECT.format("pg_operator")}
    UNION ALL SELECT 'off', 'there are casts that are not the server''s own', '' FROM pg_catalog.pg_cast
               WHERE {_USER_OBJECT.format("pg_cast")} AND castfunc <> 0
    UNION ALL SELECT 'off', 'a domain has a constraint', '' FROM pg_catalog.pg_constraint
               WHERE contypid <> 0 AND {_USER_OBJECT.format("pg_constraint")}
    UNION ALL SELECT 'off', 'there are settings of the database or of a role', '' FROM pg_catalog.pg_db_role_setting s
               WHERE setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
                 AND EXISTS (SELECT FROM unnest(setconfig) one WHERE one ~ '^default_transaction|_timeout=')
    UNION ALL SELECT 'level', current_setting('default_transaction_isolation'), ''
"""


@dataclass(slots=True)
class _NameFacts:
    """What the catalog says of one name."""

    # its partitions and the tables that it inherits from; of a view, those that it reads
    read_with: set[str] = field(default_factory=set)
    # written with it: tables that it refers to or that refer to it, and sequences
    written_with: set[str] = field(default_factory=set)
    reading: Footprint = NOTHING  # what else reading it touches
    writing: Footprint = NOTHING  # what else writing to it touches


class DependenceFinder:
    """Finds, once for each variant of a scenario, which of its steps commute.

    Args:
        scenario: that is run.
        variables: of its matrix, and drawn values.
        existing_database: the database is the user's, and may contain functions before setup.
    """

    def __init__(self, scenario: Scenario, variables: Mapping[str, str], *, existing_database: bool) -> None:
        self._scenario, self._variables = scenario, variables
        self._is_done = not may_commute(scenario)
        self._newest = 0 if existing_database else None
        self.dependence = Dependence()

    def before(self, connection: Connection) -> None:
        """Record which functions exist before setup; later calls do nothing."""
        if self._is_done or self._newest is not None:
            return
        try:
            self._newest = newest_function(connection)
        except ConnectionLost:
            self._is_done = True

    def after(self, connection: Connection) -> None:
        """Examine the database after setup; later calls do nothing."""
        if self._is_done or self._newest is None:
            return
        self._is_done = True
        try:
            known, level = known_from(database_facts(connection, self._newest))
            steps = {one.name: footprints(one, self._variables, known, level) for one in self._scenario.sessions}
        except (ConnectionLost, Unknowable):
            # all steps stay dependent
            return
        self.dependence.know(steps, {one.name: one.repeat for one in self._scenario.sessions})


def may_commute(scenario: Scenario) -> bool:
    """Whether nothing makes the order of steps visible: no invariant during the run, no fault, no records."""
    has_monitored = any(not invariant.at_end for invariant in scenario.invariants)
    breaks = any(isinstance(item, Fault) for session in scenario.sessions for item in session.items)
    return not (has_monitored or breaks or mentions(scenario, _RECORDED))


def _rows(connection: Connection, query: str) -> list[Row]:
    return connection.rows(query, connection.within(_ANSWER_LIMIT))


def newest_function(connection: Connection) -> int:
    """Return the highest oid of a function: functions that setup creates have higher ones.

    Raises:
        ConnectionLost: the server does not answer.
    """
    ((newest,),) = _rows(connection, _NEWEST)
    return int(str(newest))


def database_facts(connection: Connection, newest: int) -> list[tuple[str, str, str]]:
    """Read what setup has created, as `known_from` takes it.

    Args:
        connection: to the database.
        newest: the highest oid of a function before setup.

    Raises:
        ConnectionLost: the server does not answer.
    """
    query = _QUERY.replace("{newest}", str(newest))
    return [(str(what), str(name), str(other)) for what, name, other in _rows(connection, query)]


def known_from(facts: Iterable[tuple[str, str, str]]) -> tuple[KnownDatabase, str]:
    """Build the known relations, and return them with the default isolation level."""
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
                relations[name].read_with.add(name)
            case "anything":
                relations[name].reading = relations[name].writing = ANYTHING
            case "written":
                relations[name].writing = ANYTHING
            case "same":
                relations[name].read_with.add(other)
                relations[other].read_with.add(name)
            case "view":
                relations[name].read_with.add(other)
            case "refers":
                relations[name].written_with.add(other)
                relations[other].written_with.add(name)
            case "draws":
                relations[name].written_with.add(other)
            case "text" | "value":
                touches = calls(tokenize(_without_sequence(other)), KnownDatabase(functions=functions))
                relations[name].writing |= touches
                if what == "text":
                    relations[name].reading |= touches
    return KnownDatabase({name: _relation(name, relations) for name in relations}, functions), level


def _without_sequence(text: str) -> str:
    """Remove nextval() of a column's default: its sequence is listed separately."""
    return re.sub(r"\bnextval\('[^']*'::regclass\)", "0", text)


def _relation(name: str, relations: Mapping[str, _NameFacts]) -> Relation:
    reads = _reached([name], relations, written_with=False)
    writes = _reached([name], relations, written_with=True)
    reading, writing = Footprint(reads), Footprint(frozenset(), writes)
    for one in reads:
        reading |= relations[one].reading
    for one in writes:
        writing |= relations[one].writing
    return Relation(reading, writing)


def _reached(names: list[str], relations: Mapping[str, _NameFacts], *, written_with: bool) -> frozenset[str]:
    reached, left = set(names), list(names)
    while left:
        one = relations[left.pop()]
        more = (one.read_with | one.written_with if written_with else one.read_with) - reached
        reached |= more
        left += more
    return frozenset(reached)
