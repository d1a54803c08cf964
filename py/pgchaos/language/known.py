"""What is found out about a scenario by its text, once: a search makes many runs of it, and each asks again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from pgchaos.language.model import Scenario

T = TypeVar("T")


def known(ask: Callable[[Scenario], T]) -> Callable[[Scenario], T]:
    """Have a function asked once for each scenario; its answer depends on nothing else, and nobody changes it."""

    @wraps(ask)
    def answered(scenario: Scenario) -> T:
        if answered not in scenario.known:
            scenario.known[answered] = ask(scenario)
        return cast("T", scenario.known[answered])

    return answered
