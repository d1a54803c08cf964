"""Finds statements with several effects, or that read before they write: a search runs no other session in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from psycopg import sql

from pgchaos.engine.connection import Connection
from pgchaos.engine.run import DatabaseInspector
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Statement
from pgchaos.language.sql_tokens import SqlStatement, function_calls, top_statements
from pgchaos.language.transaction_statements import closes_block, opens_block
from pgchaos.search.touched_tables import changed_tables, locks_rows, named_tables

_WRITES = ("insert", "update", "delete", "merge", "copy", "truncate")
_PATIENCE = 30.0  # seconds for the answer
_SHOWN = 4  # statements in a remark

_QUERY = r"""
    SELECT 'function', proname::text, ''
      FROM pg_catalog.pg_proc JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace
     WHERE provolatile = 'v' AND proname = ANY ({calls})
       AND nspname NOT IN ('pg_catalog', 'information_schema', 'chaos')
    UNION
    SELECT 'trigger', relname::text, tgname::text
      FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = tgrelid
      JOIN pg_catalog.pg_proc p ON p.oid = tgfoid JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace
      JOIN pg_catalog.pg_language l ON l.oid = prolang
     WHERE NOT tgisinternal AND nspname NOT IN ('pg_catalog', 'chaos') AND relname = ANY ({tables})
       AND (lanname NOT IN ('sql', 'plpgsql') OR prosrc ~* '\m(insert|update|delete|merge|execute|perform|call|lock)\M')
"""


class InnerEffects:
    """Finds, once, the statements with several effects whose order other sessions could observe.

    Args:
        scenario: that is run.

    Attributes:
        next: another inspector, which is called too; or None.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._calls: dict[str, list[Place]] = defaultdict(list)
        self._tables: dict[str, list[Place]] = defaultdict(list)
        self._found: dict[Place, str] = {}
        self._alone: set[Place] = set()  # statements outside a block
        self._unsplit: dict[Place, str] = {}  # the table that a statement outside a block reads before it changes it
        self._asked = False
        self.next: DatabaseInspector | None = None
        for session in scenario.sessions:
            in_block = False
            for item in session.items:
                if isinstance(item, Statement):
                    self._read(item, in_block=in_block)
                    in_block = opens_block(item.verb, item.text) or (
                        in_block and not closes_block(item.verb, item.text)
                    )

    def _read(self, statement: Statement, *, in_block: bool) -> None:
        parsed_statements = top_statements(statement.text)
        for parsed in parsed_statements:
            line = statement.place.line + (parsed.tokens[0].line if parsed.tokens else 0)
            place = Place(statement.place.path, line)
            if not in_block:
                self._alone.add(place)
            for call in function_calls(parsed.tokens):
                self._calls[call.name].append(place)
            if any(token.is_word(*_WRITES) for token in parsed.tokens):
                for token in parsed.tokens:
                    if token.is_identifier:
                        self._tables[token.text].append(place)
            if _locks_in_where(parsed):
                self._found[place] = f"{self._line(place)} takes an advisory lock in WHERE"
            table = _read_before_change(parsed)
            if table and not in_block and len(parsed_statements) == 1:
                self._unsplit[place] = table

    def _line(self, place: Place) -> str:
        return f"line {place.line}" if place.path == self._scenario.shown else str(place)

    def before(self, connection: Connection) -> None:
        """Call the next inspector."""
        if self.next is not None:
            self.next.before(connection)

    def after(self, connection: Connection) -> None:
        """Examine the database after setup, the first time; call the next inspector."""
        if self.next is not None:
            self.next.after(connection)
        if self._asked or not (self._calls or self._tables):
            return
        self._asked = True
        names = {"calls": _array(self._calls), "tables": _array(self._tables)}
        answer = connection.ask(_QUERY.format(**names), deadline=connection.within(_PATIENCE))
        # an error is ignored: this only produces a remark, and the runs report it
        for kind, name, trigger in (row for result in answer.results for row in result.rows()):
            lines = self._calls if kind == "function" else self._tables
            for place in lines[str(name)]:
                self._found[place] = (
                    f"{self._line(place)} calls {name}(), a volatile function"
                    if kind == "function"
                    else f"{self._line(place)} fires trigger {trigger} of {name}, which may write"
                )

    def remarks(self) -> list[str]:
        """Report the statements whose effects were not interleaved."""
        whole = f"{self._scenario.shown}: `schedule {self._scenario.schedule.kind}` puts whole statements in order:"
        remarks = []
        if self._unsplit:
            read = [f"{self._line(place)} reads and changes {table}" for place, table in sorted(self._unsplit.items())]
            remarks.append(
                f"{whole} {_some(read)} in a transaction of its own, so no other session came in between. Write BEGIN"
                " before the statement and COMMIT after it: then one can"
            )
        if self._found:
            found = [text for _, text in sorted(self._found.items())]
            block = "write BEGIN before it and COMMIT after it, or " if self._alone.issuperset(self._found) else ""
            remarks.append(
                f"{whole} what happens inside one was not interleaved ({_some(found)}). To have others come in"
                f" between, {block}run freely, with chaos.jitter() called there, or chaos.inject_delay() on the table"
            )
        return remarks


def _some(found: list[str]) -> str:
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "; ".join((*found[:_SHOWN], *more))


def _read_before_change(parsed: SqlStatement) -> str | None:
    """Name the table that a statement changes and has read in a query; None where that locks rows, or reads no such."""
    query = next((at for at, token in enumerate(parsed.tokens) if token.is_word("select")), None)
    if query is None or locks_rows(parsed.tokens):
        return None
    changed = set(changed_tables(parsed.tokens))
    return next((name for name in named_tables(parsed.tokens[query:]) if name in changed), None)


def _locks_in_where(parsed: SqlStatement) -> bool:
    where = next((at for at, token in enumerate(parsed.tokens) if token.is_word("where")), len(parsed.tokens))
    return any(token.is_identifier and _is_lock(token.text) for token in parsed.tokens[where:])


def _is_lock(name: str) -> bool:
    return name.startswith(("pg_advisory_", "pg_try_advisory_")) and "unlock" not in name


def _array(names: Iterable[str]) -> str:
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(map(sql.Literal, names))).as_string(None)
