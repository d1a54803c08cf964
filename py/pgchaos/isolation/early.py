"""Which sessions may be set up while the spec's own setup still runs, unseen? Pure."""

from __future__ import annotations

import re

from pgchaos.isolation.model import Spec

_MODE = r"(?:ISOLATION\s+LEVEL\s+\w+(?:\s+(?:READ|COMMITTED|UNCOMMITTED))?|READ\s+(?:ONLY|WRITE)|(?:NOT\s+)?DEFERRABLE)"
_BEGIN = rf"(?:BEGIN(?:\s+(?:TRANSACTION|WORK))?|START\s+TRANSACTION)(?:\s+{_MODE}(?:(?:\s*,)?\s*{_MODE})*)?"
_SET = r"SET\s+(?:LOCAL\s+|SESSION\s+)?(?:enable_\w+|deadlock_timeout)\s*(?:=|TO)\s*(?:'\w+'|\w+)"
_EARLY = re.compile(rf"\s*(?:(?:{_BEGIN}|{_SET})\s*;\s*)*(?:{_BEGIN}|{_SET})(?:\s*;)?\s*", re.IGNORECASE)
_TIME = re.compile(
    r"\bnow\b|\bcurrent_(?:date|time)|\blocaltime|\btransaction_timestamp|\b(?:today|tomorrow|yesterday)\b|xact_start"
    r"|\b(?:idle_in_transaction_session|idle_session|transaction|statement)_timeout\b",
    re.IGNORECASE,
)


def early(spec: Spec) -> tuple[int, ...]:
    """Say which sessions may be set up together, as soon as the spec's own setup begins.

    To begin a transaction takes no snapshot, no lock and no id, so nobody sees when it happens, but by the clock.

    Args:
        spec: the file.

    Returns:
        The indexes of those whose setup only begins a transaction, or sets what its queries alone notice; none where
        the spec may tell when a transaction began.
    """
    if _TIME.search(spec.source):
        return ()
    setups = [session.setup for session in spec.sessions]
    return tuple(index for index, setup in enumerate(setups) if setup is not None and _EARLY.fullmatch(setup))
