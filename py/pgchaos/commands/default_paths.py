"""A pytest plugin of `pgchaos run`: without a path on the command line, it selects the folders of chaos_paths."""

from __future__ import annotations

import pytest

from pgchaos.pytest_plugin.stash import OPTIONS


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set the folders as arguments, if there are none."""
    folders = _folders(config)
    if folders:
        config.args = folders


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Raise pytest.UsageError if there is no folder with scenarios: pytest would run all files here."""
    if _folders(session.config) == []:
        names = ", ".join(path.name for path in session.config.stash[OPTIONS].paths)
        raise pytest.UsageError(f"there is no folder {names} here: name the files or folders, or set ini chaos_paths")


def _folders(config: pytest.Config) -> list[str] | None:
    """Return the existing folders; None if the command line contains paths, or the plugin is disabled."""
    options = config.stash.get(OPTIONS, None)
    if options is None or config.args_source is config.ArgsSource.ARGS:
        return None
    return [str(path) for path in options.paths if path.is_dir()]
