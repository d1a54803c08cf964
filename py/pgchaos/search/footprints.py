"""The footprints of a session's steps, by the text of its statements and by its transactions.

A step touches what its transaction touched so far: if it fails, the server undoes that, and releases the locks.
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

# touched by all steps of serializable transactions: which of them fails does not depend on common tables
SERIALIZABLE = "what is serializable"

# statements that do not change the tables, functions and triggers of the database
_TAME = frozenset(
    """select values table with insert update delete merge lock truncate begin start commit end rollback abort savepoint
    release set reset show listen unlisten notify declare fetch move close prepare deallocate""".split()  # noqa: SIM905  # read better so
)
_VALUE = re.compile(r"[-+]?[0-9.]*|true|false|on|off|yes|no|t|f", re.IGNORECASE)
_WRITTEN_OTHERWISE = re.compile(r'\b[uU]&"')

_Kind = Literal["begins", "ends", "saves", "does"]


@dataclass(frozen=True, slots=True)
class _Act:
    """One statement."""

    step: str  # that it belongs to
    kind: _Kind  # its effect on its transaction
    touches: Footprint = NOTHING  # by itself
    level: str = ""  # of the transaction that it begins, or ''


class Unknowable(Exception):
    """A session may change the database so that nothing is known of it any more."""


def footprints(
    session: Session, variables: Mapping[str, str], known: KnownDatabase, level: str
) -> tuple[Footprint, ...]:
    """Return the footprints of a session's steps, in order.

    Args:
        session: as parsed.
        variables: of the matrix, and drawn.
        known: what is known of the database.
        level: the isolation level of a transaction that names none.

    Raises:
        Unknowable: it may change what the others touch.
    """
    items = [item for item in session.items if in_force(item, variables)]
    try:
        acts = list(_acts(items, variables, known))
        wild = _is_wild(items, variables)
    except TooLong as error:  # the run will tell
        raise Unknowable(str(error)) from None
    if wild or any(isinstance(item, STEERS) for item in items):
        return (ANYTHING,) * len(session.steps)
    found: dict[str, Footprint] = dict.fromkeys(session.steps, NOTHING)
    try:
        for transaction, isolation in _transactions(acts, level):
            for act, touches in zip(transaction, _of(transaction, isolation), strict=True):
                found[act.step] |= touches
    except _Open:
        return (ANYTHING,) * len(session.steps)
    if not any(one.anything for one in found.values()):
        return tuple(found.values())
    if session.repeat > 1:
        return (ANYTHING,) * len(session.steps)
    # it may have changed a setting of the session
    steps = list(found.values())
    first = next(at for at, one in enumerate(steps) if one.anything)
    return (*steps[:first], *(ANYTHING for _ in steps[first:]))


class _Open(Exception):
    """A transaction with an unknown beginning or end."""


def _is_wild(items: Iterable[Item], variables: Mapping[str, str]) -> bool:
    """Whether the text does not show which transactions there are, or what a variable holds."""
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


def _acts(items: Iterable[Item], variables: Mapping[str, str], known: KnownDatabase) -> Iterator[_Act]:
    for item in items:
        if isinstance(item, Statement):
            text = render(item.parts, variables)
            statements = top_statements(text)
            if item.send is Send.GEXEC or not all(statement.verb in _TAME for statement in statements):
                raise Unknowable(f"{item.place}: what it does is not known")
            odd = item.copy is not None or _WRITTEN_OTHERWISE.search(text) is not None
            for number, statement in enumerate(statements):
                yield _act(item.step, statement, known, odd=odd, first=number == 0)


def _act(step: str, statement: SqlStatement, known: KnownDatabase, *, odd: bool, first: bool) -> _Act:
    words = [token.text for token in statement.tokens if token.kind == "word"]
    kind = _kind(statement)
    if statement.verb in ("select", "with") and "into" in words and "insert" not in words and "merge" not in words:
        raise Unknowable("SELECT INTO makes a table")
    # in a group, what stands before BEGIN is of the same transaction
    if (
        odd
        or (kind == "begins" and not first)
        or "chain" in words
        or "prepared" in words
        or statement.verb == "prepare"
    ):
        return _Act(step, "does", ANYTHING)
    if kind == "begins":
        return _Act(step, kind, ANYTHING if _by_variable(statement) else NOTHING, _level(words))
    return _Act(step, kind, touched(statement, known) if kind == "does" and statement.verb != "rollback" else NOTHING)


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


def _transactions(acts: Iterable[_Act], default: str) -> Iterator[tuple[list[_Act], str]]:
    """Split statements into transactions, with the isolation level of each."""
    block: list[_Act] = []
    for act in acts:
        if act.kind == "begins":
            if block:
                raise _Open
            block = [act]
        elif block:
            block.append(act)
            if act.kind == "ends":
                yield block, block[0].level or default
                block = []
        else:
            yield [act], default
    if block:
        raise _Open


def _of(transaction: Sequence[_Act], level: str) -> Iterator[Footprint]:
    """Return the footprints of the statements of a transaction.

    A retry belongs to the step that failed: it touches no more than the transaction so far.
    """
    whole = union(act.touches for act in transaction)
    if level == "serializable":
        whole |= Footprint(writes=frozenset({SERIALIZABLE}))
    # its first query takes the snapshot by which all of it reads
    snapshot = Footprint(whole.reads | whole.writes) if level in ("serializable", "repeatable read") else NOTHING
    so_far = Footprint(writes=whole.writes & {SERIALIZABLE})
    for act in transaction:
        so_far |= act.touches
        if act.kind == "begins":
            # now() is when it began
            yield Footprint(writes=whole.writes & {TIME}, anything=act.touches.anything)
        elif act.kind == "saves":
            yield NOTHING
        else:
            yield so_far | snapshot
