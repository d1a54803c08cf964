"""Which of the collected items are run, by --chaos-replay; and what --chaos-set must not name."""

from __future__ import annotations

import pytest

from pgchaos.pytest_plugin.scheduling import matches_token
from pgchaos.pytest_plugin.stash import OPTIONS


def select_items(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep only the item of the token of --chaos-replay; pytest.UsageError where there is none."""
    if config.stash[OPTIONS].constants:
        # projects without scenarios do not load it
        from pgchaos.pytest_plugin.collection_run import check_constants

        check_constants(config)
    token = config.stash[OPTIONS].token
    if token is not None:
        chosen = [item for item in items if matches_token(item, token)]
        # which call of a test in Python has a token is known only when it is made
        chosen = chosen or [item for item in items if "chaos_explore" in getattr(item, "fixturenames", ())]
        kept = set(chosen)
        others = [item for item in items if item not in kept]
        items[:] = chosen
        config.hook.pytest_deselected(items=others)
        if not items:
            from pgchaos.schedule.token import shown

            raise pytest.UsageError(
                f"--chaos-replay: the token '{shown(str(token))}' matches no collected scenario: the file has changed"
                f" since, or it is not below {_searched(config)}: name its path after the token; or the token is of"
                " other values of the matrix or of a mutant (which needs --chaos-mutants)"
            )


def _searched(config: pytest.Config) -> str:
    """Name what was collected: the arguments; without any, only the folders of chaos_paths have scenarios."""
    if config.args_source is config.ArgsSource.ARGS:
        return ", ".join(dict.fromkeys(arg.partition("::")[0] for arg in config.args))
    return f"chaos_paths ({', '.join(path.name for path in config.stash[OPTIONS].paths)})"
