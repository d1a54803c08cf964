"""How often a test repeats what only many repetitions show."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

OFTEN = bool(os.environ.get("PGCHAOS_TEST_OFTEN"))
"""Set by `make often`, which runs every week."""


def often(few: T, many: T) -> T:
    """Choose between what `make check` does and what `make often` does.

    Args:
        few: the repetitions, or whatever takes time, of `make check`.
        many: of `make often`.
    """
    return many if OFTEN else few
