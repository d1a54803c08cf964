"""What a statement touches, by its text. It errs on one side: what is not known to be harmless may do anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.language.inner_sql import Plain
from pgchaos.language.sql_tokens import NOTHING as NO_PIECE
from pgchaos.language.sql_tokens import SqlToken
from pgchaos.schedule.footprint import ANYTHING, NOTHING, Footprint
from pgchaos.search.pure_functions import FUNCTIONS, KEYWORDS, OF_THE_TOOLKIT, TELL_TIME

TIME = "the time"
"""What statements touch that tell the time: which of them is earlier may be seen afterwards."""

_QUERIES = frozenset({"select", "values", "table", "with"})
_CHANGES = frozenset({"insert", "update", "delete", "merge"})
_LOCKS = frozenset({"lock", "truncate"})
_SPECIAL_TIMES = frozenset({"now", "today", "tomorrow", "yesterday"})
_HIDDEN = frozenset({"xmin", "xmax", "cmin", "cmax", "tableoid"})
"""System columns that tell of more than their table. Its ctid is its own."""
_BEFORE_A_TABLE = frozenset({"from", "join", "into", "update", "using", "table", "lock", "truncate", "only"})
_PASSED_OVER = frozenset({"only", "lateral", "table"})
_ENDS_FROM = frozenset(
    """where group having order limit offset fetch for window union intersect except set returning select values
    when""".split()  # noqa: SIM905  # read better so
)
_FROM_IS_NO_CLAUSE = frozenset({"extract", "substring", "overlay", "trim", "position"})


@dataclass(frozen=True, slots=True)
class Relation:
    """What touching a table touches.

    Args:
        read: by reading it.
        written: by changing or locking it.
    """

    read: Footprint
    written: Footprint


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the database.

    Args:
        relations: by their names, without schemas, as all of one name together.
        functions: the names of those that are not the server's own; an operator of a name is none of these.
    """

    relations: Mapping[str, Relation] = field(default_factory=dict)
    functions: Collection[str] = frozenset()


def touched(plain: Plain, known: Known) -> Footprint:
    """Say what a statement touches, which is no BEGIN, COMMIT or the like.

    Args:
        plain: its pieces; of psql's variables those are left that hold a value.
        known: what is known of the database.

    Returns:
        Its footprint. A table counts wherever its name stands, as that of a column too.
    """
    pieces = plain.pieces
    if plain.verb not in _QUERIES | _CHANGES | _LOCKS:
        return ANYTHING
    found = calls(pieces, known)
    if found.anything or not _resolved(pieces, known):
        return ANYTHING
    targets = set(_targets(pieces))
    everything = plain.verb in _LOCKS or _locks_rows(pieces)
    for piece in pieces:
        if piece.identifier and piece.text in known.relations:
            relation = known.relations[piece.text]
            found |= relation.written if everything or piece.text in targets else relation.read
    return found


def calls(pieces: Sequence[SqlToken], known: Known) -> Footprint:
    """Say what the functions in a text touch.

    Args:
        pieces: of a statement, a view or an expression.
        known: what is known of the database.

    Returns:
        NOTHING, TIME written, or ANYTHING.
    """
    named = _named_queries(pieces)
    found = NOTHING
    for at, piece in enumerate(pieces):
        before, behind = _at(pieces, at - 1), _at(pieces, at + 1)
        if piece.kind == "string":
            if piece.text.strip().lower() in _SPECIAL_TIMES:
                found |= Footprint(writes=frozenset({TIME}))
        elif piece.kind == "variable":
            if _begins_something(before) or behind.sign("(", "."):
                return ANYTHING
        elif piece.identifier:
            if piece.text in known.functions or _is_hidden(pieces, at):
                return ANYTHING
            if piece.kind == "word" and piece.text in TELL_TIME:
                found |= Footprint(writes=frozenset({TIME}))
            elif behind.sign("(") and not _is_known_before_parenthesis(pieces, at, named, known):
                return ANYTHING
    return found


def _at(pieces: Sequence[SqlToken], at: int) -> SqlToken:
    return pieces[at] if 0 <= at < len(pieces) else NO_PIECE


def _begins_something(before: SqlToken) -> bool:
    """Say whether a variable stands where no value can."""
    return before is NO_PIECE or before.sign(".", ")") or before.says(*_BEFORE_A_TABLE, *_CHANGES, "with")


def _is_hidden(pieces: Sequence[SqlToken], at: int) -> bool:
    piece = pieces[at]
    if piece.text in _HIDDEN:
        return True
    if piece.text == "chaos":
        called = _at(pieces, at + 1).sign(".") and _at(pieces, at + 3).sign("(")
        return not (called and _at(pieces, at + 2).says(*OF_THE_TOOLKIT))
    if piece.text == "pg_catalog":
        return not _at(pieces, at + 1).sign(".")
    return piece.text.startswith("pg_") or piece.text == "information_schema"


def _is_known_before_parenthesis(pieces: Sequence[SqlToken], at: int, named: Collection[str], known: Known) -> bool:
    piece, before = pieces[at], _at(pieces, at - 1)
    if before.sign("."):
        schema = _at(pieces, at - 2)
        if schema.says("chaos"):
            return piece.text in OF_THE_TOOLKIT
        if not schema.says("pg_catalog"):
            return piece.text in known.relations and _follows_into(pieces, at - 2)
    if before.says("as") or (piece.text in named and before.says("with", "recursive")) or before.sign("::"):
        # a list of columns; what is cast to is a type
        return True
    if piece.text in named and before.sign(","):
        return True
    if piece.text in known.relations and _follows_into(pieces, at):
        return True
    return piece.kind == "word" and piece.text in FUNCTIONS | KEYWORDS


def _follows_into(pieces: Sequence[SqlToken], at: int) -> bool:
    return _at(pieces, at - 1).says("into")


def _named_queries(pieces: Sequence[SqlToken]) -> set[str]:
    """Find the names that WITH gives: behind it or a comma, before AS or a list of columns and AS."""
    if not any(piece.says("with") for piece in pieces):
        return set()
    found = set()
    for at, piece in enumerate(pieces):
        before = _at(pieces, at - 1)
        if piece.identifier and (before.says("with", "recursive") or before.sign(",")):
            end = at + 1
            if _at(pieces, end).sign("("):
                while end < len(pieces) and not pieces[end].sign(")"):
                    end += 1
                end += 1
            behind = _at(pieces, end + 1)
            if _at(pieces, end).says("as") and (behind.sign("(") or behind.says("materialized", "not")):
                found.add(piece.text)
    return found


def _locks_rows(pieces: Sequence[SqlToken]) -> bool:
    """Say whether there is a FOR UPDATE or the like: what it locks is not looked for, all tables count."""
    for at, piece in enumerate(pieces):
        if piece.says("for") and _at(pieces, at + 1).says("update", "share", "no", "key"):
            return True
    return False


def _targets(pieces: Sequence[SqlToken]) -> Iterator[str]:
    """Find the tables that are changed: behind INTO, UPDATE and DELETE FROM."""
    for at, piece in enumerate(pieces):
        deletes = piece.says("from") and _at(pieces, at - 1).says("delete")
        if piece.says("into", "update") or deletes:
            at += 1
            while _at(pieces, at).says("only"):
                at += 1
            while _at(pieces, at + 1).sign("."):
                at += 2
            if _at(pieces, at).identifier:
                yield _at(pieces, at).text


def _resolved(pieces: Sequence[SqlToken], known: Known) -> bool:
    """Say whether every table is known by its name; one is not that a session makes."""
    named = _named_queries(pieces)
    return all(name in known.relations or name in named for name in _tables(pieces))


def _tables(pieces: Sequence[SqlToken]) -> Iterator[str]:
    """Give the names that stand where a table does."""
    openers, listing, awaited = [""], [False], False
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        if piece.sign("("):
            openers.append(_at(pieces, at - 1).text)
            listing.append(False)
        elif piece.sign(")") and len(openers) > 1:
            openers.pop()
            listing.pop()
            awaited = False
        elif piece.sign(","):
            awaited = listing[-1]
        elif piece.says(*_ENDS_FROM):
            listing[-1] = awaited = False
        elif piece.says(*_BEFORE_A_TABLE) and _opens(pieces, at, openers[-1]):
            awaited = True
            listing[-1] = not piece.says("into", "update")
        elif awaited and piece.identifier and not piece.says(*_PASSED_OVER):
            into = _follows_into(pieces, at)
            while _at(pieces, at + 1).sign("."):
                at += 2
            if into or not _at(pieces, at + 1).sign("("):
                yield _at(pieces, at).text
            awaited = False
        elif awaited and piece.kind == "variable":
            # no table has that name
            yield piece.text
        at += 1


def _opens(pieces: Sequence[SqlToken], at: int, opener: str) -> bool:
    piece, before = pieces[at], _at(pieces, at - 1)
    if piece.says("from"):
        return opener not in _FROM_IS_NO_CLAUSE and not before.says("distinct")
    if piece.says("update"):
        return not before.says("for", "do", "key", "then")
    if piece.says("using"):
        return not _at(pieces, at + 1).sign("(")
    return not piece.says("only")
