"""The footprints of a session's steps, by the text of its statements and by its transactions.

A step touches what its transaction has touched so far: if it fails, the server undoes that and releases the locks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pgchaos.language.model import Session
from pgchaos.language.section_items import (
    STEERS,
    Item,
    Meta,
    Parts,
    Send,
    Statement,
)
from pgchaos.language.sql_tokens import SqlStatement, top_statements
from pgchaos.language.substitution import TooLong, render
from pgchaos.schedule.footprint import ANYTHING, NOTHING, Footprint, union
from pgchaos.schedule.wait_rules import in_force
from pgchaos.search.touched_tables import TIME, KnownDatabase, touched

# touched by all steps of serializable transactions: one of them may fail without a common table
SERIALIZABLE = "what is serializable"

# statements that do not change tables, functions and triggers
_HARMLESS = frozenset(
    """select values table with insert update delete merge lock truncate begin start commit end rollback abort savepoint
    release set reset show listen unlisten notify declare fetch move close prepare deallocate""".split()  # noqa: SIM905  # read better so
)
_VALUE = re.compile(r"[-+]?[0-9.]*|true|false|on|off|yes|no|t|f", re.IGNORECASE)
_UNICODE_NAME = re.compile(r'\b[uU]&"')

_Kind = Literal["begins", "ends", "saves", "does"]


@dataclass(frozen=True, slots=True)
class _Effect:
    """One statement."""

    step: str
    kind: _Kind  # its effect on its transaction
    touches: Footprint = NOTHING  # of this statement alone
    level: str = ""  # isolation level of the transaction that it begins, or ''


class Unknowable(Exception):
    """What a session touches cannot be known: it may change tables, functions or triggers."""


def footprints(
    session: Session, variables: Mapping[str, str], known: KnownDatabase, level: str
) -> tuple[Footprint, ...]:
    """Return the footprints of a session's steps, in order.

    Args:
        session: as parsed.
        variables: of the matrix, and drawn values.
        known: what is known of the database.
        level: the isolation level of a transaction that names none.

    Raises:
        Unknowable: it may change what other sessions touch.
    """
    items = [item for item in session.items if in_force(item, variables)]
    try:
        effects = list(_effects(items, variables, known))
        unclear = _is_unclear(items, variables)
    except TooLong as error:  # the run reports it
        raise Unknowable(str(error)) from None
    if unclear or any(isinstance(item, STEERS) for item in items):
        return (ANYTHING,) * len(session.steps)
    found: dict[str, Footprint] = dict.fromkeys(session.steps, NOTHING)
    try:
        for transaction, isolation in _transactions(effects, level):
            for effect, touches in zip(transaction, _footprints_of(transaction, isolation), strict=True):
                found[effect.step] |= touches
    except _UnclearTransaction:
        return (ANYTHING,) * len(session.steps)
    if not any(one.anything for one in found.values()):
        return tuple(found.values())
    if session.repeat > 1:
        return (ANYTHING,) * len(session.steps)
    # it may have changed a setting of the session
    steps = list(found.values())
    first = next(at for at, one in enumerate(steps) if one.anything)
    return (*steps[:first], *(ANYTHING for _ in steps[first:]))


class _UnclearTransaction(Exception):
    """A transaction with an unknown beginning or end."""


def _is_unclear(items: Iterable[Item], variables: Mapping[str, str]) -> bool:
    """Whether the text does not show which transactions there are, or the value of a variable."""
    depth = 0
    for item in items:
        if isinstance(item, Meta):
            depth += {"if": 1, "endif": -1}.get(item.name, 0)
            if item.name in ("quit", "getenv") or (item.name == "set" and not all(map(_is_value, item.args[1:]))):
                return True
        elif isinstance(item, Statement) and depth:
            kinds = set(map(_kind, top_statements(render(item.parts, variables))))
            if kinds & {"begins", "ends"}:
                return True
    return False


def _is_value(parts: Parts) -> bool:
    return all(_VALUE.fullmatch(part) if isinstance(part, str) else True for part in parts)


def _effects(items: Iterable[Item], variables: Mapping[str, str], known: KnownDatabase) -> Iterator[_Effect]:
    for item in items:
        if isinstance(item, Statement):
            text = render(item.parts, variables)
            statements = top_statements(text)
            if item.send is Send.GEXEC or not all(statement.verb in _HARMLESS for statement in statements):
                raise Unknowable(f"{item.place}: what it does is not known")
            odd = item.copy is not None or _UNICODE_NAME.search(text) is not None
            for number, statement in enumerate(statements):
                yield _effect(item.step, statement, known, odd=odd, first=number == 0)


def _effect(step: str, statement: SqlStatement, known: KnownDatabase, *, odd: bool, first: bool) -> _Effect:
    words = [token.text for token in statement.tokens if token.kind == "word"]
    kind = _kind(statement)
    if statement.verb in ("select", "with") and "into" in words and "insert" not in words and "merge" not in words:
        raise Unknowable("SELECT INTO makes a table")
    # statements before BEGIN in the same message belong to the same transaction
    if (
        odd
        or (kind == "begins" and not first)
        or "chain" in words
        or "prepared" in words
        or statement.verb == "prepare"
    ):
        return _Effect(step, "does", ANYTHING)
    if kind == "begins":
        return _Effect(step, kind, ANYTHING if _by_variable(statement) else NOTHING, _level(words))
    return _Effect(
        step, kind, touched(statement, known) if kind == "does" and statement.verb != "rollback" else NOTHING
    )


def _by_variable(statement: SqlStatement) -> bool:
    return any(token.kind == "variable" for token in statement.tokens)


def _kind(statement: SqlStatement) -> _Kind:
    words = [token.text for token in statement.tokens]
    match statement.verb:
        case "begin" | "start":
            return "begins"
        case "commit" | "end" | "abort":
            return "ends"
        case "rollback":
            return "does" if "to" in words else "ends"
        case "savepoint" | "release":
            return "saves"
    return "does"


def _level(words: Sequence[str]) -> str:
    text = " ".join(words)
    levels = ("serializable", "repeatable read", "read committed", "read uncommitted")
    return next((level for level in levels if level in text), "")


def _transactions(effects: Iterable[_Effect], default: str) -> Iterator[tuple[list[_Effect], str]]:
    """Split statements into transactions, with the isolation level of each."""
    block: list[_Effect] = []
    for effect in effects:
        if effect.kind == "begins":
            if block:
                raise _UnclearTransaction
            block = [effect]
        elif block:
            block.append(effect)
            if effect.kind == "ends":
                yield block, block[0].level or default
                block = []
        else:
            yield [effect], default
    if block:
        raise _UnclearTransaction


def _footprints_of(transaction: Sequence[_Effect], level: str) -> Iterator[Footprint]:
    """Return the footprints of the statements of a transaction.

    A retry belongs to the step that failed: it touches nothing beyond its transaction so far.
    """
    whole = union(effect.touches for effect in transaction)
    if level == "serializable":
        whole |= Footprint(writes=frozenset({SERIALIZABLE}))
    # its first query takes the snapshot for the whole transaction
    snapshot = Footprint(whole.reads | whole.writes) if level in ("serializable", "repeatable read") else NOTHING
    so_far = Footprint(writes=whole.writes & {SERIALIZABLE})
    for effect in transaction:
        so_far |= effect.touches
        if effect.kind == "begins":
            # now() returns the time of BEGIN
            yield Footprint(writes=whole.writes & {TIME}, anything=effect.touches.anything)
        elif effect.kind == "saves":
            yield NOTHING
        else:
            yield so_far | snapshot
