"""What `oracle serializable` cannot judge, told when the file is read: it takes a block for one transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pgchaos.scenario.body import Body
from pgchaos.scenario.inner_sql import statements
from pgchaos.scenario.lexemes import Sql
from pgchaos.scenario.place import Place
from pgchaos.scenario.statements import goes_on_behind_end, prepares_transaction

_ENDS = re.compile("commit|rollback", re.IGNORECASE)
_WAITS = re.compile(r"\bchaos\s*\.\s*(?:barrier|wait_for|wait_blocked)\b", re.IGNORECASE)
_FOR_EVER = "in a serial order it waits for ever; the directive of that name is left out there"
_NO_ORACLE = "`state` is what an oracle compares: `-- chaos:oracle serializable` in the head is missing"


def check_oracle(bodies: Iterable[Body], oracle: bool, complain: Callable[[Place, str], None]) -> None:
    """Hold sections against the oracle, or against there being none.

    Args:
        bodies: all sections, those of mutants too.
        oracle: whether the file asks for one.
        complain: called with the place and text of each problem.
    """
    for body in bodies:
        if body.kind == "state" and not oracle:
            complain(body.place, _NO_ORACLE)
        for sql in body.sources if oracle else ():
            what = _what(sql) if body.kind == "session" else ""
            if not what and _commits_inside(sql.text):
                what = "a procedure or DO that ends transactions inside: it is several, and counts as one"
            if not what and body.kind in ("session", "setup", "mutant") and (wait := _WAITS.search(sql.text)):
                what = f"{wait[0]}(): {_FOR_EVER}"
            if what:
                complain(sql.place, f"`oracle` cannot judge {what}")


def _commits_inside(text: str) -> bool:
    return _ENDS.search(text) is not None and any(
        plain.body and plain.verb in ("commit", "rollback") for plain in statements(text)
    )


def _what(sql: Sql) -> str:
    if prepares_transaction(sql.verb, sql.text):
        return "PREPARE TRANSACTION: another session may end it"
    if goes_on_behind_end(sql.verb, sql.text):
        return "one statement, or group, that ends a transaction and begins the next: write them apart"
    return ""
