"""Short forms of what a scan gives, for tables of tests."""

from __future__ import annotations

from typing import TypeVar

from pgchaos.language.lexemes import Command, Comment, Mistake, Sql
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_items import Parts

L = TypeVar("L", Sql, Command, Comment, Mistake)


def found(kind: type[L], text: str) -> list[L]:
    """List the lexemes of one kind."""
    return [lexeme for lexeme in scan(text, "x.sql") if isinstance(lexeme, kind)]


def statements(text: str) -> list[str]:
    """List the texts of the statements."""
    return [sql.text for sql in found(Sql, text)]


def mistakes(text: str) -> list[str]:
    """List the mistakes with their lines."""
    return [f"{mistake.place.line}: {mistake.text}" for mistake in found(Mistake, text)]


def only(text: str) -> Sql:
    """Scan a text that holds one statement."""
    (sql,) = found(Sql, text)
    return sql


def written(parts: Parts) -> str:
    """Put a text together again."""
    return "".join(part if isinstance(part, str) else part.raw for part in parts)
