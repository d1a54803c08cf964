"""The findings and rules of lint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pgchaos.language.problems import (
    LANGUAGE,
    SNAPSHOT_WAIT,
    UNKNOWN_TAG,
    UNREAD_DIRECTIVE,
    UNUSED_MATRIX,
    UNUSED_SIGNAL,
    Place,
)

SLEEP, CANNOT_FAIL, FREE_RACE, NO_MUTANT = "sleep", "cannot-fail", "free-race", "no-mutant"
UNSET_VARIABLE = "unset-variable"
SUPPRESSION, NEEDLESS_SUPPRESSION = "allow", "needless-allow"


class Rule(NamedTuple):
    """One rule."""

    what: str  # the rule finds
    is_error: bool = False
    may_be_allowed: bool = True  # by a comment with a reason


RULES = {
    LANGUAGE: Rule("a mistake that keeps the file from being run", is_error=True, may_be_allowed=False),
    UNKNOWN_TAG: Rule("a tag that neither pgchaos nor ini chaos_tags knows", is_error=True, may_be_allowed=False),
    UNUSED_MATRIX: Rule(
        "a matrix that nothing uses, so that its items run the same (an error), or that only mutants use (a warning)"
    ),
    SLEEP: Rule("pg_sleep in a session: it makes an order likely, not certain"),
    CANNOT_FAIL: Rule("an assertion that is true whatever the sessions did"),
    FREE_RACE: Rule("connections that run freely, with nothing that makes them meet"),
    UNSET_VARIABLE: Rule("a variable in a `run` that nothing sets, and whose name is nearly that of one that is set"),
    NO_MUTANT: Rule("no mutant, so that nothing shows that the scenario can fail"),
    SNAPSHOT_WAIT: Rule("a wait by a function of the toolkit that takes the snapshot of its transaction"),
    UNUSED_SIGNAL: Rule("a signal that no session waits for"),
    UNREAD_DIRECTIVE: Rule(
        "a line in the form of a directive that is inside quotes, a block comment or COPY data", may_be_allowed=False
    ),
    SUPPRESSION: Rule("`-- lint: allow` without a reason, or of no rule", is_error=True, may_be_allowed=False),
    NEEDLESS_SUPPRESSION: Rule("`-- lint: allow` where the rule finds nothing", may_be_allowed=False),
}
"""Every rule by its name, in the order of the documentation."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its line, its rule, what is wrong, and what to do."""

    place: Place
    rule: str
    text: str
    is_error: bool = False

    def __str__(self) -> str:
        return f"{self.place}: [{self.rule}] {self.text}"
