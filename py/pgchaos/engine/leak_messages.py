"""Makes a failure of a leak: the line that caused it, and a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pgchaos.engine.leaks import Leak
from pgchaos.language.header_model import Leave
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.results import Failure

_WHAT_TO_DO = {
    "open transaction": "end it in the session, by COMMIT or ROLLBACK",
    "prepared transaction": "end it by COMMIT PREPARED or ROLLBACK PREPARED",
    "advisory lock": "release it in the session, by pg_advisory_unlock() or pg_advisory_unlock_all()",
    "invalid index": "drop it, or make it valid by REINDEX",
    "role": "drop it in teardown",
    "slot": "drop it in teardown",
    "object": "remove it in teardown",
}
_LOCKS = re.compile(r"\bpg_(?:try_)?advisory_lock", re.IGNORECASE)


def judge(found: Iterable[Leak], leaves: Iterable[Leave], scenario: Scenario) -> list[Failure]:
    """Make a failure of each leak without a directive `leaves`, and of each `leaves` without a leak."""
    found, declared = list(found), {leave.kind: leave for leave in leaves}
    failures = [_failure(leak, scenario) for leak in found if leak.kind not in declared]
    kinds = {leak.kind for leak in found}
    for kind, leave in declared.items():
        if kind not in kinds:
            text = f"leaves {kind}: nothing of that kind was left behind"
            failures.append(Failure("leak", (kind,), text, leave.place))
    return failures


def _failure(leak: Leak, scenario: Scenario) -> Failure:
    advice = _WHAT_TO_DO.get(leak.kind)
    details: tuple[str, ...] = ()
    if advice is not None:
        details = (f"{advice}; where it is meant, write `-- chaos:leaves {leak.kind} REASON` in the header",)
    return Failure("leak", (leak.kind,), str(leak), leak.place or _place(leak, scenario), details)


def _place(leak: Leak, scenario: Scenario) -> Place | None:
    """Find the first statement that takes a lock in the session that holds it, or that names the object."""
    statements = list(scenario.statements())
    if leak.kind == "advisory lock":
        of_session = [
            item for session in scenario.sessions if leak.text.startswith(f"{session.name}[") for item in session.items
        ]
        statements = [item for item in statements if item in of_session] or statements
        words = _LOCKS
    elif leak.name:
        words = re.compile(rf"(?<![\w$]){re.escape(leak.name)}(?![\w$])", re.IGNORECASE)
    else:
        return None
    named = [item for item in statements if words.search(item.text)]
    making = [item for item in named if item.verb in ("CREATE", "ALTER", "PREPARE")]
    return next((item.place for item in (*making, *named)), None)
