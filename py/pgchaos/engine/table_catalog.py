"""Reads the tables of a scenario for an oracle: which columns it ignores, and the rows at the end.

It ignores columns with an identity, or a default of a sequence, now(), random() or the like; and columns that refer to
an ignored column by a foreign key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pgchaos.engine.answer import Answer, Row
from pgchaos.engine.connection import Connection
from pgchaos.engine.error_messages import error_failure, plain_failure
from pgchaos.engine.interpreter import Interpreter, Quit, Rejected
from pgchaos.engine.notices import vars_literal
from pgchaos.language.model import Section
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Item, Meta, Statement
from pgchaos.oracle.model import State, Table, sortable
from pgchaos.oracle.outputs import changes_by_itself, parse_statements
from pgchaos.oracle.timestamps import NOW, Window
from pgchaos.results import Failure
from pgchaos.schedule.wait_rules import in_force

TRANSIENT = frozenset({26, 27, 28, 29, 2970, 3220, 5038, 5069})
"""OIDs of types (pg_type.dat) whose values the server generates: oid, tid, xid, cid, txid_snapshot, pg_lsn,
pg_snapshot, xid8."""

_NOT_PERMITTED = "42501"
_WRITE_STATE = "write a `state` section with queries that this role may run: the oracle then compares their results"
_SHORT_TIMEOUT = 2.0
_PATIENCE = 30.0
"""Seconds to read the state; lock waits have less."""
_BEGIN = """BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL lock_timeout = '5s'; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL search_path = {};
SET LOCAL extra_float_digits = 1;
SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', true)
 WHERE current_setting('server_encoding') = 'SQL_ASCII';  -- else it refuses to send bytes that are not UTF-8
SELECT extract(epoch FROM pg_catalog.clock_timestamp());
"""
_COLUMNS = """
SELECT c.oid, a.attnum, a.attname, a.atttypid,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
       CASE WHEN n.nspname IN ('public', {schema}) THEN c.relname ELSE n.nspname || '.' || c.relname END,
       c.relkind = 'p', NOT c.relispartition AND c.relpersistence <> 't',
       a.attidentity <> '',
       -- the table is not named: with it, the server lists all its columns for each default
       CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, 0) END,
       pg_catalog.array_position(k.conkey, a.attnum), pg_catalog.quote_ident(a.attname)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('information_schema', 'chaos') AND n.nspname !~ '^pg_(?!temp)'
   AND ({schema} = '' OR n.nspname = {schema})
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                    WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                      AND e.objid = c.oid AND e.deptype = 'e')
 ORDER BY 5, 2;
"""
_REFERENCES = """
SELECT k.conrelid, unnest(k.conkey), k.confrelid, unnest(k.confkey)
  FROM pg_catalog.pg_constraint k WHERE k.contype = 'f';
"""

Column = tuple[int, int]
"""A column by the OID of its table and its number."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an oracle ignores in its comparison."""

    left_out: frozenset[Column]  # columns of tables
    drawn: frozenset[str]  # the names of these columns
    window: Window  # the time of the run


@dataclass(slots=True)
class _Table:
    """A table by the catalog."""

    quoted: str  # its qualified name in SQL
    shown: str  # its name in messages
    partitioned: bool
    # number, name, type, and position in the primary key
    columns: list[tuple[int, str, int, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of the columns, in SQL


class Catalog:
    """Reads the facts and the state of one run on one connection.

    Args:
        connection: to the scenario's database, outside a transaction.
        schema: of the scenario; '' for the whole database.
        variables: of the matrix.
        short_timeout: the run was stopped, perhaps because the server does not answer.
    """

    def __init__(
        self, connection: Connection, schema: str, variables: Mapping[str, str], *, short_timeout: bool = False
    ) -> None:
        self._connection, self._schema, self._variables = connection, schema, variables
        self._until = time.monotonic() + (_SHORT_TIMEOUT if short_timeout else _PATIENCE)

    def clock(self) -> float:
        """Return the server's time in seconds since the epoch; 0 if it does not answer."""
        answer = self._connection.ask("SELECT extract(epoch FROM pg_catalog.clock_timestamp())", deadline=self._until)
        return 0.0 if answer.error is not None else float(_cell(next(answer.results[0].rows())))

    def read(self, start: float, elapsed: float, sections: Sequence[Section]) -> tuple[Facts, State] | Failure:
        """Read what the oracle needs from the server.

        Args:
            start: when the run began, by the server's clock.
            elapsed: seconds since then, by ours.
            sections: the `state` sections of the scenario; without them, all of its tables are read.

        Returns:
            The ignored columns and the contents of the tables; or a failure.
        """
        schema = _literal(self._schema)
        path = f"{self._schema}, public" if self._schema else '"$user", public'
        answer = self._ask(_BEGIN.format(path) + _COLUMNS.format(schema=schema) + _REFERENCES)
        try:
            if answer.error is not None:
                return error_failure(answer.error, None, "oracle")
            *_, clock, columns, references = answer.results
            left_out, tables = _sort_out(list(columns.rows()), list(references.rows()))
            names = frozenset(name for column, name in _names(columns.rows()) if column in left_out)
            facts = Facts(left_out, names, Window.of(start, float(_cell(next(clock.rows()))), elapsed))
            state = self._queries(sections, facts) if sections else self._tables(tables, facts)
            return state if isinstance(state, Failure) else (facts, state)
        finally:
            self._ask("ROLLBACK")

    def _ask(self, query: str) -> Answer:
        return self._connection.ask(query, deadline=self._until)

    def _tables(self, tables: dict[int, _Table], facts: Facts) -> State | Failure:
        if not tables:
            return {}
        # a policy that hides rows is an error
        text = ";".join(["SET LOCAL row_security = off", *(_select(table) for table in tables.values())])
        answer = self._ask(text)
        if answer.error is not None:
            failure = error_failure(answer.error, None, "oracle: the tables")
            more = (_WRITE_STATE,) if answer.error.sqlstate == _NOT_PERMITTED else ()
            return replace(failure, details=(*failure.details, *more))
        return {
            table.shown: _table(oid, table, list(result.rows()), facts)
            for (oid, table), result in zip(tables.items(), answer.results[1:], strict=True)
        }

    def _queries(self, sections: Sequence[Section], facts: Facts) -> State | Failure:
        reader = Interpreter(self._variables, lambda _: None)
        reader.psql.connected(self._connection)
        if self._variables:
            literal = vars_literal(self._variables, any_bytes=self._connection.any_bytes)
            self._ask(f"SET LOCAL chaos.vars = {literal}")
        state: dict[str, Table] = {}
        items = (item for section in sections for item in section.items if in_force(item, self._variables))
        try:
            for item in items:
                failure = self._query(item, reader, facts, state)
                if failure is not None:
                    return failure
        except Quit:  # the rest is not compared
            pass
        return state

    def _query(self, item: Item, reader: Interpreter, facts: Facts, state: dict[str, Table]) -> Failure | None:
        try:
            if isinstance(item, Meta):
                reader.meta(item)
        except Rejected as wrong:
            return plain_failure(str(wrong), item.place, "state")
        if not isinstance(item, Statement) or not reader.branches.active():
            return None
        try:
            texts = reader.texts(item)
        except Rejected as wrong:
            return plain_failure(str(wrong), wrong.place, "state")
        for text in texts:
            answer = self._ask(text)
            if answer.error is not None:
                return error_failure(answer.error, item.place, "state", reader.about(item))
            for result, parsed in zip(answer.results, parse_statements(text), strict=False):
                rows = [_without_times(row, result.types(), facts.window) for row in result.rows()]
                rows = rows if parsed.ordered else sorted(rows, key=sortable)
                state[_new_name(item.place, state)] = Table(result.columns(), tuple(rows), tuple(rows))
        return None


def _new_name(place: Place, state: State) -> str:
    # a line may have several queries
    name, number = f"state query in line {place.line}", 2
    while name in state:
        name, number = f"state query {number} in line {place.line}", number + 1
    return name


def _select(table: _Table) -> str:
    only = "" if table.partitioned else "ONLY "
    return f"SELECT {', '.join(table.names)} FROM {only}{table.quoted}"


def _table(oid: int, table: _Table, rows: Sequence[Row], facts: Facts) -> Table:
    kept = [at for at, column in enumerate(table.columns) if (oid, column[0]) not in facts.left_out]
    key = sorted((place, at) for at, (_, _, _, place) in enumerate(table.columns) if place)
    types = [column[2] for column in table.columns]
    both = []
    for row in rows:
        shown = _without_times(row, types, facts.window)
        left = tuple(shown[at] for at in kept)
        both.append((left, tuple(row[at] for _, at in key) if key else left))
    both.sort(key=lambda one: (sortable(one[0]), sortable(one[1])))
    drawn = any(at not in kept for _, at in key)
    columns = tuple(table.columns[at][1] for at in kept)
    return Table(columns, tuple(row for row, _ in both), tuple(one for _, one in both), drawn)


def _without_times(row: Row, types: Sequence[int], window: Window) -> Row:
    return tuple(NOW if window.holds(cell, type_) else cell for cell, type_ in zip(row, types, strict=True))


def _sort_out(columns: Sequence[Row], references: Sequence[Row]) -> tuple[frozenset[Column], dict[int, _Table]]:
    """Return the ignored columns, and the tables to read."""
    left_out: set[Column] = set()
    tables: dict[int, _Table] = {}
    for oid, number, name, type_, table_name, shown, partitioned, whole, identity, default, place, quoted in columns:
        key = int(oid or 0)
        if whole == "t":
            table = tables.setdefault(key, _Table(table_name or "", shown or "", partitioned == "t"))
            if number is not None:
                table.columns.append((int(number), name or "", int(type_ or 0), int(place or 0)))
                table.names.append(quoted or "")
        if number is not None and (identity == "t" or int(type_ or 0) in TRANSIENT or changes_by_itself(default or "")):
            left_out.add((key, int(number)))
    pairs = [tuple(int(cell or 0) for cell in row) for row in references]
    while more := {(a, b) for a, b, c, d in pairs if (c, d) in left_out and (a, b) not in left_out}:
        left_out |= more
    return frozenset(left_out), tables


def _names(columns: Iterator[Row]) -> Iterator[tuple[Column, str]]:
    for oid, number, name, *_ in columns:
        if number is not None:
            yield (int(oid or 0), int(number)), name or ""


def _cell(row: Row) -> str:
    return row[0] or "0"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
