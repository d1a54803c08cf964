r"""\d, \sf and \sv of a plain pgTAP file: psql stops at one that finds nothing, as at any error.

Source: describeTableDetails in psql's describe.c, processSQLNamePattern in fe_utils' string_utils.c, and
lookup_object_oid in psql's command.c.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgchaos.engine.connection import Connection
from pgchaos.language.substitution import literal

_OPERATORS = frozenset("|*+?()[]{}.^\\")


def look_up(name: str, words: Sequence[str], connection: Connection, deadline: float) -> None:
    r"""Look for what a command shows.

    Args:
        name: of the command: `d`, `sf` or `sv`.
        words: its arguments; without any, \d lists relations.
        connection: to search on.
        deadline: when the search must end, see `Connection.ask_own`.

    Raises:
        ValueError: it is not there; the text is psql's.
    """
    if name == "d" and not words:
        return
    query, missing = _relation(words[0].rstrip(";")) if name == "d" else _definition(name, " ".join(words).rstrip("; "))
    answer = connection.ask_own(query, deadline)
    if answer.error is not None:
        raise ValueError(answer.error.message)
    if not answer.results or not answer.results[-1].height:
        raise ValueError(missing)


def _definition(name: str, written: str) -> tuple[str, str]:
    if not written:
        raise ValueError(f"{'view' if name == 'sv' else 'function'} name is required")
    if name == "sv":
        what, found = (
            "view",
            f"pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({literal(written)}) AND relkind = 'v'",
        )
    else:
        function = "to_regprocedure" if "(" in written else "to_regproc"
        what = "function"
        found = f"pg_catalog.pg_proc WHERE oid = pg_catalog.{function}({literal(written)}) AND prokind <> 'a'"
    return f"SELECT 1 FROM {found}", f'{what} "{written}" does not exist, or is not the only one'


def _relation(pattern: str) -> tuple[str, str]:
    *schemas, name = _expressions(pattern)
    conditions = [f"c.relname OPERATOR(pg_catalog.~) {literal(name)} COLLATE pg_catalog.default"]
    if schemas:
        conditions.append(f"n.nspname OPERATOR(pg_catalog.~) {literal(schemas[-1])} COLLATE pg_catalog.default")
    else:
        conditions.append("pg_catalog.pg_table_is_visible(c.oid)")
    query = (
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE {' AND '.join(conditions)} LIMIT 1"
    )
    return query, f'Did not find any relation named "{pattern}".'


def _expressions(pattern: str) -> list[str]:
    """Return the regular expression of each part of a name in psql's pattern."""
    parts, quoted, at = [""], False, 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == '"' and quoted and pattern[at + 1 : at + 2] == '"':
            parts[-1] += '"'
            at += 1
        elif sign == '"':
            quoted = not quoted
        elif sign == "." and not quoted:
            parts.append("")
        elif sign == "$" or (quoted and sign in _OPERATORS):
            parts[-1] += "\\" + sign
        elif quoted:
            parts[-1] += sign
        else:
            parts[-1] += {"*": ".*", "?": "."}.get(sign, sign.lower())
        at += 1
    return [f"^({part})$" for part in parts]
