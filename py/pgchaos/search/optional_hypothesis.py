"""hypothesis, which a project may do without: importing it is tried once, and every thread knows what came of it."""

from __future__ import annotations

from functools import lru_cache

NOT_INSTALLED = "hypothesis, which is not installed: pip install 'pgchaos[chaos]'"


@lru_cache(maxsize=1)
def no_hypothesis() -> str:
    """Import hypothesis and what draws values by it, the first time in the main thread.

    Returns:
        '' where it is there; else `NOT_INSTALLED`, or what is wrong with it.
    """
    try:
        import pgchaos.search.given  # noqa: F401 it is the one place that imports hypothesis
    except ModuleNotFoundError as error:
        if error.name == "hypothesis":
            return NOT_INSTALLED
        return _broken(error)
    except Exception as error:  # of any kind: only what draws values fails for it
        return _broken(error)
    return ""


def _broken(error: Exception) -> str:
    return f"hypothesis, which cannot be imported: {type(error).__name__}: {error}"
