"""Finds names qualified by a schema, and distinguishes them from `alias.column` by their position in the statement."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgchaos.language.sql_tokens import SqlStatement, SqlToken, token_at, tokenize

# schemas that are the same for all scenarios in a database, or belong to the session
ALLOWED = frozenset({"pg_catalog", "information_schema", "chaos", "pg_temp"})

_DDL = frozenset({"create", "alter", "drop", "comment", "grant", "revoke", "refresh", "reindex", "security"})
_TABLE_FOLLOWS = frozenset({"lock", "truncate", "copy", "analyze", "analyse", "cluster"})  # verbs before a table
_BEGINS_LIST = frozenset({"from", "table", "using", "on", "lock", "truncate", "analyze", "analyse", "inherits"})
# words before a name in DDL
_KINDS = frozenset(
    """view index sequence function procedure routine aggregate type domain collation conversion statistics operator
    class family configuration dictionary parser template""".split()  # noqa: SIM905  # easier to read without quotes
)
_BEFORE_A_NAME = frozenset(
    {"from", "join", "table", "references", "update", "into", "collate", "as", "setof", "returns", "of", "inherit"}
)
_BEFORE_A_COLUMN = frozenset({"column", "by"})  # COLUMN and OWNED BY: table.column follows, so a schema is a third part
_SKIPPED = frozenset(
    """only lateral if not exists concurrently temp temporary unlogged local global table verbose variadic setof
    in out inout""".split()  # noqa: SIM905  # as above
)
_ENDS_LIST = frozenset(
    """where group having order limit offset fetch for window union intersect except set returning values select
    loop to begin""".split()  # noqa: SIM905  # as above
)
# words that are not a name, although one is expected
_NO_NAME = (
    frozenset(
        {"select", "values", "on", "or", "set", "where", "with", "when", "for", "then", "group", "order", "using"}
    )
    | _SKIPPED
    | _BEFORE_A_NAME
    | _KINDS
    | _BEFORE_A_COLUMN
)
_FROM_IS_NO_CLAUSE = frozenset({"extract", "substring", "overlay", "trim", "position", "normalize"})
_NO_COLUMN = frozenset(
    {"select", "distinct", "all", "not", "case", "when", "default", "check", "exists", "row", "array"}
)
_REG_TYPES = re.compile("reg(?:class|proc|procedure|type|oper|operator|config|dictionary|collation)")
_TAKES_A_NAME = re.compile("nextval|currval|setval|to_reg[a-z]+")


@dataclass(frozen=True, slots=True)
class Qualified:
    """A name qualified by a schema that is not allowed."""

    text: str  # the name, its parts joined by dots
    last: str  # the part after the schema
    line: int  # of its first token
    variable: bool  # the schema is a psql variable


@dataclass(slots=True)
class _Parenthesis:
    """An open parenthesis: the word before it, and whether a name follows a comma in it."""

    opener: str = ""
    in_list: bool = False


def qualified(statement: SqlStatement) -> Iterator[Qualified]:
    """Yield the names of a statement that are qualified by a schema that is not allowed, in order."""
    for parts in (*_NameFinder(statement).names(), *_names_in_strings(statement.tokens)):
        schema = parts[0]
        if schema.text not in ALLOWED:
            texts = [token.text for token in parts]
            yield Qualified(".".join(texts), ".".join(texts[1:]), schema.line, schema.kind == "variable")


class _NameFinder:
    """Reads a statement token by token, and tracks where the name of a table, function or type may be."""

    def __init__(self, statement: SqlStatement) -> None:
        self._statement = statement
        self._tokens = statement.tokens
        self._levels = [_Parenthesis()]
        self._expected = 0  # the number of parts of a qualified name here; 0 if no name is expected
        self._expects_list = False
        self._in_head = statement.verb in _DDL  # before a query in a statement of DDL
        self._kinds = {token.text for token in self._tokens[1:6] if token.kind == "word"}
        self._deletes = any(a.is_word("delete") and b.is_word("from") for a, b in itertools.pairwise(self._tokens))

    def names(self) -> Iterator[Sequence[SqlToken]]:
        """Yield the names with a schema, each as its parts."""
        at = self._start()
        while at < len(self._tokens):
            token = self._tokens[at]
            if self._is_name(token, at):
                parts, end = _parts(self._tokens, at)
                if self._has_schema(parts, at, end):
                    yield parts
                if self._expected and self._expects_list:
                    self._levels[-1].in_list = True
                self._expected = 0
                at = end
                continue
            self._symbol(token, at) if token.kind == "symbol" else self._word(token, at)
            at += 1

    def _start(self) -> int:
        """Return the first index: for a verb before a table, the one after the verb and its options."""
        if self._statement.verb not in _TABLE_FOLLOWS:
            return 0
        at = 1
        if self._at(at).is_symbol("("):
            while at < len(self._tokens) and not self._at(at).is_symbol(")"):
                at += 1
            at += 1
        self._expect(self._statement.verb)
        return at

    def _at(self, at: int) -> SqlToken:
        return token_at(self._tokens, at)

    def _is_name(self, token: SqlToken, at: int) -> bool:
        if not (token.is_identifier or token.kind == "variable"):
            return False
        if self._at(at + 1).is_symbol("."):
            return True
        return bool(self._expected) and not (token.kind == "word" and token.text in _NO_NAME)

    def _has_schema(self, parts: Sequence[SqlToken], at: int, end: int) -> bool:
        behind = self._at(end)
        if len(parts) < 2:
            return False
        if behind.is_symbol("%") and self._at(end + 1).is_word("type", "rowtype"):
            return len(parts) > (2 if self._at(end + 1).is_word("type") else 1)
        return bool(self._expected and len(parts) >= self._expected) or behind.is_symbol("(") or self._is_type(at)

    def _is_type(self, at: int) -> bool:
        """Whether a token is the type of a column, of an argument, or of a variable of PL/pgSQL."""
        before, second_before = self._at(at - 1), self._at(at - 2)
        if self._statement.declares:
            return at == 1 or (at == 2 and before.is_word("constant"))
        if not self._in_head:
            return False
        if self._kinds & {"function", "procedure", "routine", "aggregate"}:
            return len(self._levels) == 2
        if before.is_symbol("=") and self._kinds & {"operator", "aggregate", "type", "text"}:
            return True
        if not before.is_identifier or before.text in _NO_COLUMN:
            return False
        if self._statement.verb == "create" and self._kinds & {"table", "type"}:
            return len(self._levels) == 2 and second_before.is_symbol("(", ",")
        return self._statement.verb == "alter" and second_before.is_word("add", "column", "exists", "attribute")

    def _symbol(self, token: SqlToken, at: int) -> None:
        if token.is_symbol("("):
            opener = self._at(at - 1)
            # `FROM (a JOIN b)` and `OPERATOR(a.+)`: a name is still expected
            self._levels.append(_Parenthesis(opener.text if opener.kind == "word" else ""))
            if opener.is_word("inherits"):
                self._expect("inherits")
            elif self._in_head and len(self._levels) == 2:
                self._expected = self._expected if opener.is_word("operator") else 0
            return
        if token.is_symbol(")") and len(self._levels) > 1:
            self._levels.pop()
        self._expected = 0
        if token.is_symbol(",") and self._levels[-1].in_list:
            self._expect("from")
        elif token.is_symbol("::"):
            self._expect("as")

    def _word(self, token: SqlToken, at: int) -> None:
        word = token.text if token.kind == "word" else ""
        if self._expected and word in _SKIPPED:
            return
        self._expected = 0
        if word in _ENDS_LIST:
            self._levels[-1].in_list = False
        if self._statement.verb not in ("grant", "revoke") and self._begins_query(word):
            self._in_head = False
        if self._is_before_name(word, at):
            self._expect(word)

    def _begins_query(self, word: str) -> bool:
        return word in ("select", "values", "do") or (word == "as" and bool(self._kinds & {"view", "table"}))

    def _is_before_name(self, word: str, at: int) -> bool:
        before, in_head = self._at(at - 1), self._in_head and len(self._levels) == 1
        match word:
            case "from":
                if self._statement.verb in ("fetch", "move", "revoke"):
                    return False
                is_comparison = before.is_word("distinct") and self._at(at - 2).is_word("is", "not")
                return not is_comparison and self._levels[-1].opener not in _FROM_IS_NO_CLAUSE
            case "into":
                # in PL/pgSQL a variable follows, whose fields are written with a dot too
                return before.is_word("insert", "merge") or not self._statement.in_body
            case "using":
                return self._deletes or self._statement.verb == "merge"
            case "like":
                return self._statement.verb == "create" and before.is_symbol("(", ",")
            case "partition":
                return before.is_word("attach", "detach")
            case "by":
                return before.is_word("owned")
            case "to":
                return in_head and "rule" in self._kinds and self._statement.verb == "create"
            case "operator":
                return in_head or self._at(at + 1).is_symbol("(")
            case "on" | "column":
                return in_head
        return word in _BEFORE_A_NAME or (word in _KINDS and in_head)

    def _expect(self, word: str) -> None:
        self._expected = 3 if word in _BEFORE_A_COLUMN else 2
        self._expects_list = word in _BEGINS_LIST or (word in _KINDS and self._in_head)


def _parts(tokens: Sequence[SqlToken], at: int) -> tuple[list[SqlToken], int]:
    """Return the parts of the name at an index, and the index after it."""
    parts, at = [tokens[at]], at + 1
    while at < len(tokens) and tokens[at].is_symbol("."):
        at += 1
        if at < len(tokens) and not tokens[at].is_symbol("(", ")", ","):
            parts.append(tokens[at])
            at += 1
    return parts, at


def _names_in_strings(tokens: Sequence[SqlToken]) -> Iterator[Sequence[SqlToken]]:
    """Yield names in strings that the server reads as names, as in `'a.b'::regclass` and `nextval('a.b')`."""
    for at, token in enumerate(tokens):
        if token.kind != "string" or "." not in token.text:
            continue
        before = token_at(tokens, at - 1)
        is_cast = token_at(tokens, at + 1).is_symbol("::") and _REG_TYPES.fullmatch(token_at(tokens, at + 2).text)
        is_argument = before.is_symbol("(") and _TAKES_A_NAME.fullmatch(token_at(tokens, at - 2).text)
        if not (is_cast or is_argument or _REG_TYPES.fullmatch(before.text)):
            continue
        inner = tokenize(token.text, token.line)
        if inner and inner[0].is_identifier:
            parts, _ = _parts(inner, 0)
            if len(parts) > 1:
                yield parts
