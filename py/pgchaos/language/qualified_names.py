"""Names qualified by a schema, told from `alias.column` by the place where they stand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgchaos.language.inner_sql import Plain
from pgchaos.language.sql_tokens import NOTHING, SqlToken, sql_tokens

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
        line: of its first part, counted as its piece is.
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


def qualified(plain: Plain) -> Iterator[Qualified]:
    """Find the names of a statement that another schema qualifies.

    Args:
        plain: the statement.

    Yields:
        Them, in order.
    """
    for chain in (*_Walk(plain).chains(), *_in_strings(plain.pieces)):
        schema = chain[0]
        if schema.text not in ALLOWED:
            texts = [piece.text for piece in chain]
            yield Qualified(".".join(texts), ".".join(texts[1:]), schema.line, schema.kind == "variable")


class _Walk:
    """A walk over a statement that knows where the name of a table, function or type may stand."""

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self._all = plain.pieces
        self._levels = [_Level()]
        self._least = 0  # parts that a name must have here to be told as qualified; 0 where no name is waited for
        self._lists = False
        # the part of a statement of DDL before a query in it
        self._head = plain.verb in _DDL
        self._kinds = {piece.text for piece in self._all[1:6] if piece.kind == "word"}
        self._deletes = any(a.says("delete") and b.says("from") for a, b in itertools.pairwise(self._all))

    def chains(self) -> Iterator[Sequence[SqlToken]]:
        """Give the names that have a schema, each as its parts."""
        at = self._start()
        while at < len(self._all):
            piece = self._all[at]
            if self._is_name(piece, at):
                chain, end = _chain(self._all, at)
                if self._has_schema(chain, at, end):
                    yield chain
                if self._least and self._lists:
                    self._levels[-1].listing = True
                self._least = 0
                at = end
                continue
            self._sign(piece, at) if piece.kind == "sign" else self._word(piece, at)
            at += 1

    def _start(self) -> int:
        """Begin behind the verb, and behind the options of a statement in which a table follows it."""
        if self._plain.verb not in _DIRECT:
            return 0
        at = 1
        if self._at(at).sign("("):
            while at < len(self._all) and not self._at(at).sign(")"):
                at += 1
            at += 1
        self._expect(self._plain.verb)
        return at

    def _at(self, at: int) -> SqlToken:
        return self._all[at] if 0 <= at < len(self._all) else NOTHING

    def _is_name(self, piece: SqlToken, at: int) -> bool:
        if not (piece.identifier or piece.kind == "variable"):
            return False
        if self._at(at + 1).sign("."):
            return True
        return bool(self._least) and not (piece.kind == "word" and piece.text in _NO_NAME)

    def _has_schema(self, chain: Sequence[SqlToken], at: int, end: int) -> bool:
        behind = self._at(end)
        if len(chain) < 2:
            return False
        if behind.sign("%") and self._at(end + 1).says("type", "rowtype"):
            return len(chain) > (2 if self._at(end + 1).says("type") else 1)
        return bool(self._least and len(chain) >= self._least) or behind.sign("(") or self._is_type(at)

    def _is_type(self, at: int) -> bool:
        """Say whether a type stands here: of a column, of an argument, or of a variable of PL/pgSQL."""
        before, two = self._at(at - 1), self._at(at - 2)
        if self._plain.declares:
            return at == 1 or (at == 2 and before.says("constant"))
        if not self._head:
            return False
        if self._kinds & {"function", "procedure", "routine", "aggregate"}:
            return len(self._levels) == 2
        if before.sign("=") and self._kinds & {"operator", "aggregate", "type", "text"}:
            return True
        if not before.identifier or before.text in _NO_COLUMN:
            return False
        if self._plain.verb == "create" and self._kinds & {"table", "type"}:
            return len(self._levels) == 2 and two.sign("(", ",")
        return self._plain.verb == "alter" and two.says("add", "column", "exists", "attribute")

    def _sign(self, piece: SqlToken, at: int) -> None:
        if piece.sign("("):
            opener = self._at(at - 1)
            # `FROM (a JOIN b)` and `OPERATOR(a.+)`: a name is still waited for
            self._levels.append(_Level(opener.text if opener.kind == "word" else ""))
            if opener.says("inherits"):
                self._expect("inherits")
            elif self._head and len(self._levels) == 2:
                self._least = self._least if opener.says("operator") else 0
            return
        if piece.sign(")") and len(self._levels) > 1:
            self._levels.pop()
        self._least = 0
        if piece.sign(",") and self._levels[-1].listing:
            self._expect("from")
        elif piece.sign("::"):
            self._expect("as")

    def _word(self, piece: SqlToken, at: int) -> None:
        word = piece.text if piece.kind == "word" else ""
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
                distinct = before.says("distinct") and self._at(at - 2).says("is", "not")
                return not distinct and self._levels[-1].opener not in _FROM_IS_NO_CLAUSE
            case "into":
                # in PL/pgSQL what follows is a variable, whose fields have a dot too
                return before.says("insert", "merge") or not self._plain.body
            case "using":
                return self._deletes or self._plain.verb == "merge"
            case "like":
                return self._plain.verb == "create" and before.sign("(", ",")
            case "partition":
                return before.says("attach", "detach")
            case "by":
                return before.says("owned")
            case "to":
                return in_head and "rule" in self._kinds and self._plain.verb == "create"
            case "operator":
                return in_head or self._at(at + 1).sign("(")
            case "on" | "column":
                return in_head
        return word in _BEFORE_A_NAME or (word in _KINDS and in_head)

    def _expect(self, word: str) -> None:
        self._least = 3 if word in _COLUMNS else 2
        self._lists = word in _LISTS or (word in _KINDS and self._head)


def _chain(every: Sequence[SqlToken], at: int) -> tuple[list[SqlToken], int]:
    """Take a name with its parts, and say where it ends."""
    chain, at = [every[at]], at + 1
    while at < len(every) and every[at].sign("."):
        at += 1
        if at < len(every) and not every[at].sign("(", ")", ","):
            chain.append(every[at])
            at += 1
    return chain, at


def _in_strings(every: Sequence[SqlToken]) -> Iterator[Sequence[SqlToken]]:
    """Find names in strings that the server takes for names, as in `'a.b'::regclass` and `nextval('a.b')`."""
    for at, piece in enumerate(every):
        if piece.kind != "string" or "." not in piece.text:
            continue
        behind = every[at + 1 : at + 3]
        cast = len(behind) == 2 and behind[0].sign("::") and _REG_TYPES.fullmatch(behind[1].text)
        before = every[at - 1] if at else NOTHING
        called = before.sign("(") and at > 1 and _TAKES_A_NAME.fullmatch(every[at - 2].text)
        if not (cast or called or _REG_TYPES.fullmatch(before.text)):
            continue
        inside = sql_tokens(piece.text, piece.line)
        if inside and inside[0].identifier:
            chain, _ = _chain(inside, 0)
            if len(chain) > 1:
                yield chain
