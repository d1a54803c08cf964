"""Imports hypothesis, an optional dependency, once for all threads."""

from __future__ import annotations

from functools import cache

NOT_INSTALLED = "hypothesis, which is not installed: pip install hypothesis"


@cache  # a failed import would take the same time in each scenario
def no_hypothesis() -> str:
    """Import hypothesis and the module that uses it, the first time in the main thread.

    Returns:
        '' on success; else `NOT_INSTALLED`, or the error.
    """
    try:
        import pgchaos.search.given  # noqa: F401 it is the one module that imports hypothesis
    except ModuleNotFoundError as error:
        if error.name == "hypothesis":
            return NOT_INSTALLED
        return _broken(error)
    except Exception as error:  # any error: only scenarios that draw values fail because of it
        return _broken(error)
    return ""


def _broken(error: Exception) -> str:
    return f"hypothesis, which cannot be imported: {type(error).__name__}: {error}"
