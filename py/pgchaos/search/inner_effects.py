"""Finds statements with several effects, or that read before they write: a search runs no other session in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from psycopg import sql

from pgchaos.engine.connection import Connection
from pgchaos.engine.run import DatabaseInspector
from pgchaos.language.model import Scenario, statements_in
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Statement
from pgchaos.language.sql_tokens import SqlStatement, function_calls, top_statements
from pgchaos.language.transaction_statements import closes_block, opens_block
from pgchaos.search.touched_tables import changed_tables, locks_rows, named_tables

_WRITES = ("insert", "update", "delete", "merge", "copy", "truncate")
_TIMEOUTS = ("lock_timeout", "statement_timeout", "transaction_timeout")
_ANSWER_LIMIT = 30.0  # seconds
_SHOWN = 4  # statements in a remark

_QUERY = r"""
    SELECT 'function', proname::text, ''
      FROM pg_catalog.pg_proc JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace
     WHERE provolatile = 'v' AND proname = ANY ({calls})
       AND nspname NOT IN ('pg_catalog', 'information_schema', 'chaos')
    UNION
    SELECT CASE WHEN tgdeferrable AND (tginitdeferred OR {defers}) AND NOT alters THEN 'deferred'
                WHEN alters THEN 'writer' ELSE 'reader' END, relname::text, tgname::text
      FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = tgrelid
      JOIN pg_catalog.pg_proc p ON p.oid = tgfoid JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace
      JOIN pg_catalog.pg_language l ON l.oid = prolang
      CROSS JOIN LATERAL (SELECT lanname NOT IN ('sql', 'plpgsql')
        OR prosrc ~* '\m(insert|update|delete|merge|execute|perform|call|lock)\M') f (alters)
     WHERE NOT tgisinternal AND nspname NOT IN ('pg_catalog', 'chaos') AND relname = ANY ({tables})
       AND (alters OR prosrc ~* '\mselect\M')
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
        self._unsplit: dict[Place, str] = {}  # what a statement outside a block reads before it changes something
        self._deferred: dict[Place, str] = {}  # the deferred trigger that a statement fires
        self._checked: set[Place] = set()  # statements of sessions that check deferred constraints before COMMIT
        self._defers = False  # whether a session defers constraints
        self._timeouts: dict[Place, str] = {}  # the time-out that a statement sets
        self._asked = False
        self.next: DatabaseInspector | None = None
        for session in scenario.sessions:
            in_block = False
            statements = list(statements_in([session]))
            modes = {mode for item in statements for mode in _constraint_modes(item)}
            self._defers = self._defers or "deferred" in modes
            for item in statements:
                self._read(item, in_block=in_block, checked="immediate" in modes)
                in_block = opens_block(item.verb, item.text) or (in_block and not closes_block(item.verb, item.text))

    def _read(self, statement: Statement, *, in_block: bool, checked: bool) -> None:
        parsed_statements = top_statements(statement.text)
        for parsed in parsed_statements:
            line = statement.place.line + (parsed.tokens[0].line if parsed.tokens else 0)
            place = Place(statement.place.path, line)
            if not in_block and not opens_block(statement.verb, statement.text):
                self._alone.add(place)
            if checked:
                self._checked.add(place)
            self._read_names(parsed, place)
            if _locks_in_where(parsed):
                self._found[place] = f"{self._line(place)} takes an advisory lock in WHERE"
            table = _read_before_change(parsed)
            if table and not in_block and len(parsed_statements) == 1:
                self._unsplit[place] = f"reads and changes {table}"

    def _read_names(self, parsed: SqlStatement, place: Place) -> None:
        """Note the time-out that a statement sets, the functions that it calls and, if it writes, its names."""
        timeout = next((token.text for token in parsed.tokens if token.is_word(*_TIMEOUTS)), None)
        if timeout and parsed.verb == "set" and parsed.tokens[-1].text.strip("'") not in ("0", "default"):
            self._timeouts[place] = f"sets {timeout}"
        for call in function_calls(parsed.tokens):
            self._calls[call.name].append(place)
        if any(token.is_word(*_WRITES) for token in parsed.tokens):
            for token in (token for token in parsed.tokens if token.is_identifier):
                self._tables[token.text].append(place)

    def _line(self, place: Place) -> str:
        return f"line {place.line}" if place.path == self._scenario.shown else str(place)

    def _lines(self, found: Mapping[Place, str]) -> list[str]:
        return [f"{self._line(place)} {text}" for place, text in sorted(found.items())]

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
        names = {"calls": _array(self._calls), "tables": _array(self._tables), "defers": str(self._defers)}
        answer = connection.ask(_QUERY.format(**names), deadline=connection.within(_ANSWER_LIMIT))
        # an error is ignored: this only produces a remark, and the runs report it
        for kind, name, trigger in (map(str, row) for result in answer.results for row in result.rows()):
            for place in (self._calls if kind == "function" else self._tables)[name]:
                self._find(kind, name, trigger, place)

    def _find(self, kind: str, name: str, trigger: str, place: Place) -> None:
        fires = f"fires trigger {trigger} of {name}"
        if kind == "function":
            self._found[place] = f"{self._line(place)} calls {name}(), a volatile function"
        elif kind == "writer":
            self._found[place] = f"{self._line(place)} {fires}, which may write"
        elif kind == "deferred" and place not in self._checked:
            self._deferred[place] = f"{fires} at COMMIT"
        elif kind == "reader" and place in self._alone:
            self._unsplit.setdefault(place, f"{fires}, which reads,")

    def remarks(self) -> list[str]:
        """Report the statements whose effects were not interleaved."""
        whole = f"{self._scenario.shown}: `schedule {self._scenario.schedule.kind}` puts whole statements in order:"
        remarks = []
        if self._unsplit:
            remarks.append(
                f"{whole} {_some(self._lines(self._unsplit))} in a transaction of its own, so no other session came in"
                " between. Write BEGIN before the statement and COMMIT after it: then one can"
            )
        if self._deferred:
            remarks.append(
                f"{whole} {_some(self._lines(self._deferred))}, so no other session came in between its check and"
                " the end of the transaction. Write SET CONSTRAINTS ALL IMMEDIATE before COMMIT: then one can"
            )
        if self._timeouts:
            remarks.append(
                f"{self._scenario.shown}: `schedule {self._scenario.schedule.kind}` does not wait for time-outs"
                f" ({_some(self._lines(self._timeouts))}): where a statement waits for a lock, another session"
                " continues at once, so a time-out happens by chance only. An exact schedule waits for it, if the step"
                " listed next is of the session that waits"
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


def _constraint_modes(statement: Statement) -> Iterator[str]:
    """Yield what each SET CONSTRAINTS sets: deferred or immediate."""
    for parsed in top_statements(statement.text):
        if parsed.verb == "set" and len(parsed.tokens) > 1 and parsed.tokens[1].is_word("constraints"):
            yield parsed.tokens[-1].text


def _locks_in_where(parsed: SqlStatement) -> bool:
    where = next((at for at, token in enumerate(parsed.tokens) if token.is_word("where")), len(parsed.tokens))
    return any(token.is_identifier and _is_lock(token.text) for token in parsed.tokens[where:])


def _is_lock(name: str) -> bool:
    return name.startswith(("pg_advisory_", "pg_try_advisory_")) and "unlock" not in name


def _array(names: Iterable[str]) -> str:
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(map(sql.Literal, names))).as_string(None)
