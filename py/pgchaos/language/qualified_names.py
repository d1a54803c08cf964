"""Names qualified by a schema, told from `alias.column` by the place where they stand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgchaos.language.sql_tokens import NO_TOKEN, SqlStatement, SqlToken, tokenize

ALLOWED = frozenset({"pg_catalog", "information_schema", "chaos", "pg_temp"})
"""Schemas that are the same for every scenario of a database, or the session's own."""

_DDL = frozenset({"create", "alter", "drop", "comment", "grant", "revoke", "refresh", "reindex", "security"})
_DIRECT = frozenset({"lock", "truncate", "copy", "analyze", "analyse", "cluster"})
"""Statements in which a table follows the verb."""
_LISTS = frozenset({"from", "table", "using", "on", "lock", "truncate", "analyze", "analyse", "inherits"})
_KINDS = frozenset(
    """view index sequence function procedure routine aggregate type domain collation conversion statistics operator
    class family configuration dictionary parser template""".split()  # noqa: SIM905  # twenty names are read better so
)
"""What a name may follow in a statement of DDL."""
_BEFORE_A_NAME = frozenset(
    {"from", "join", "table", "references", "update", "into", "collate", "as", "setof", "returns", "of", "inherit"}
)
_COLUMNS = frozenset({"column", "by"})
"""Behind COLUMN and OWNED BY stands table.column: the schema is a third part."""
_PASSED_OVER = frozenset(
    """only lateral if not exists concurrently temp temporary unlogged local global table verbose variadic setof
    in out inout""".split()  # noqa: SIM905  # as above
)
_ENDS_A_LIST = frozenset(
    """where group having order limit offset fetch for window union intersect except set returning values select
    loop to begin""".split()  # noqa: SIM905  # as above
)
_NO_NAME = (
    frozenset(
        {"select", "values", "on", "or", "set", "where", "with", "when", "for", "then", "group", "order", "using"}
    )
    | _PASSED_OVER
    | _BEFORE_A_NAME
    | _KINDS
    | _COLUMNS
)
"""What may stand where a name is waited for, and is none."""
_FROM_IS_NO_CLAUSE = frozenset({"extract", "substring", "overlay", "trim", "position", "normalize"})
_NO_COLUMN = frozenset(
    {"select", "distinct", "all", "not", "case", "when", "default", "check", "exists", "row", "array"}
)
_REG_TYPES = re.compile("reg(?:class|proc|procedure|type|oper|operator|config|dictionary|collation)")
_TAKES_A_NAME = re.compile("nextval|currval|setval|to_reg[a-z]+")


@dataclass(frozen=True, slots=True)
class Qualified:
    """A name qualified by a schema that is not allowed.

    Args:
        text: the name, its parts joined by dots.
        last: its part behind the schema.
        line: of its first part, counted as its token is.
        variable: whether the schema is a psql variable.
    """

    text: str
    last: str
    line: int
    variable: bool


@dataclass(slots=True)
class _Level:
    """What is known between two parentheses.

    Args:
        opener: the word before the opening one.
        listing: a comma is followed by another name.
    """

    opener: str = ""
    listing: bool = False


def qualified(parsed: SqlStatement) -> Iterator[Qualified]:
    """Find the names of a statement that another schema qualifies.

    Args:
        parsed: the statement.

    Yields:
        Them, in order.
    """
    for chain in (*_Walk(parsed).chains(), *_in_strings(parsed.tokens)):
        schema = chain[0]
        if schema.text not in ALLOWED:
            texts = [token.text for token in chain]
            yield Qualified(".".join(texts), ".".join(texts[1:]), schema.line, schema.kind == "variable")


class _Walk:
    """A walk over a statement that knows where the name of a table, function or type may stand."""

    def __init__(self, parsed: SqlStatement) -> None:
        self._plain = parsed
        self._all = parsed.tokens
        self._levels = [_Level()]
        self._least = 0  # parts that a name must have here to be told as qualified; 0 where no name is waited for
        self._lists = False
        # the part of a statement of DDL before a query in it
        self._head = parsed.verb in _DDL
        self._kinds = {token.text for token in self._all[1:6] if token.kind == "word"}
        self._deletes = any(a.is_word("delete") and b.is_word("from") for a, b in itertools.pairwise(self._all))

    def chains(self) -> Iterator[Sequence[SqlToken]]:
        """Give the names that have a schema, each as its parts."""
        at = self._start()
        while at < len(self._all):
            token = self._all[at]
            if self._is_name(token, at):
                chain, end = _chain(self._all, at)
                if self._has_schema(chain, at, end):
                    yield chain
                if self._least and self._lists:
                    self._levels[-1].listing = True
                self._least = 0
                at = end
                continue
            self._sign(token, at) if token.kind == "symbol" else self._word(token, at)
            at += 1

    def _start(self) -> int:
        """Begin behind the verb, and behind the options of a statement in which a table follows it."""
        if self._plain.verb not in _DIRECT:
            return 0
        at = 1
        if self._at(at).is_symbol("("):
            while at < len(self._all) and not self._at(at).is_symbol(")"):
                at += 1
            at += 1
        self._expect(self._plain.verb)
        return at

    def _at(self, at: int) -> SqlToken:
        return self._all[at] if 0 <= at < len(self._all) else NO_TOKEN

    def _is_name(self, token: SqlToken, at: int) -> bool:
        if not (token.is_identifier or token.kind == "variable"):
            return False
        if self._at(at + 1).is_symbol("."):
            return True
        return bool(self._least) and not (token.kind == "word" and token.text in _NO_NAME)

    def _has_schema(self, chain: Sequence[SqlToken], at: int, end: int) -> bool:
        behind = self._at(end)
        if len(chain) < 2:
            return False
        if behind.is_symbol("%") and self._at(end + 1).is_word("type", "rowtype"):
            return len(chain) > (2 if self._at(end + 1).is_word("type") else 1)
        return bool(self._least and len(chain) >= self._least) or behind.is_symbol("(") or self._is_type(at)

    def _is_type(self, at: int) -> bool:
        """Say whether a type stands here: of a column, of an argument, or of a variable of PL/pgSQL."""
        before, two = self._at(at - 1), self._at(at - 2)
        if self._plain.declares:
            return at == 1 or (at == 2 and before.is_word("constant"))
        if not self._head:
            return False
        if self._kinds & {"function", "procedure", "routine", "aggregate"}:
            return len(self._levels) == 2
        if before.is_symbol("=") and self._kinds & {"operator", "aggregate", "type", "text"}:
            return True
        if not before.is_identifier or before.text in _NO_COLUMN:
            return False
        if self._plain.verb == "create" and self._kinds & {"table", "type"}:
            return len(self._levels) == 2 and two.is_symbol("(", ",")
        return self._plain.verb == "alter" and two.is_word("add", "column", "exists", "attribute")

    def _sign(self, token: SqlToken, at: int) -> None:
        if token.is_symbol("("):
            opener = self._at(at - 1)
            # `FROM (a JOIN b)` and `OPERATOR(a.+)`: a name is still waited for
            self._levels.append(_Level(opener.text if opener.kind == "word" else ""))
            if opener.is_word("inherits"):
                self._expect("inherits")
            elif self._head and len(self._levels) == 2:
                self._least = self._least if opener.is_word("operator") else 0
            return
        if token.is_symbol(")") and len(self._levels) > 1:
            self._levels.pop()
        self._least = 0
        if token.is_symbol(",") and self._levels[-1].listing:
            self._expect("from")
        elif token.is_symbol("::"):
            self._expect("as")

    def _word(self, token: SqlToken, at: int) -> None:
        word = token.text if token.kind == "word" else ""
        if self._least and word in _PASSED_OVER:
            return
        self._least = 0
        if word in _ENDS_A_LIST:
            self._levels[-1].listing = False
        if self._plain.verb not in ("grant", "revoke") and self._begins_query(word):
            self._head = False
        if self._opens(word, at):
            self._expect(word)

    def _begins_query(self, word: str) -> bool:
        return word in ("select", "values", "do") or (word == "as" and bool(self._kinds & {"view", "table"}))

    def _opens(self, word: str, at: int) -> bool:
        """Say whether a name of a table, function or type follows a word here."""
        before, in_head = self._at(at - 1), self._head and len(self._levels) == 1
        match word:
            case "from":
                if self._plain.verb in ("fetch", "move", "revoke"):
                    return False
                distinct = before.is_word("distinct") and self._at(at - 2).is_word("is", "not")
                return not distinct and self._levels[-1].opener not in _FROM_IS_NO_CLAUSE
            case "into":
                # in PL/pgSQL what follows is a variable, whose fields have a dot too
                return before.is_word("insert", "merge") or not self._plain.in_body
            case "using":
                return self._deletes or self._plain.verb == "merge"
            case "like":
                return self._plain.verb == "create" and before.is_symbol("(", ",")
            case "partition":
                return before.is_word("attach", "detach")
            case "by":
                return before.is_word("owned")
            case "to":
                return in_head and "rule" in self._kinds and self._plain.verb == "create"
            case "operator":
                return in_head or self._at(at + 1).is_symbol("(")
            case "on" | "column":
                return in_head
        return word in _BEFORE_A_NAME or (word in _KINDS and in_head)

    def _expect(self, word: str) -> None:
        self._least = 3 if word in _COLUMNS else 2
        self._lists = word in _LISTS or (word in _KINDS and self._head)


def _chain(every: Sequence[SqlToken], at: int) -> tuple[list[SqlToken], int]:
    """Take a name with its parts, and say where it ends."""
    chain, at = [every[at]], at + 1
    while at < len(every) and every[at].is_symbol("."):
        at += 1
        if at < len(every) and not every[at].is_symbol("(", ")", ","):
            chain.append(every[at])
            at += 1
    return chain, at


def _in_strings(every: Sequence[SqlToken]) -> Iterator[Sequence[SqlToken]]:
    """Find names in strings that the server takes for names, as in `'a.b'::regclass` and `nextval('a.b')`."""
    for at, token in enumerate(every):
        if token.kind != "string" or "." not in token.text:
            continue
        behind = every[at + 1 : at + 3]
        cast = len(behind) == 2 and behind[0].is_symbol("::") and _REG_TYPES.fullmatch(behind[1].text)
        before = every[at - 1] if at else NO_TOKEN
        called = before.is_symbol("(") and at > 1 and _TAKES_A_NAME.fullmatch(every[at - 2].text)
        if not (cast or called or _REG_TYPES.fullmatch(before.text)):
            continue
        inside = tokenize(token.text, token.line)
        if inside and inside[0].is_identifier:
            chain, _ = _chain(inside, 0)
            if len(chain) > 1:
                yield chain
