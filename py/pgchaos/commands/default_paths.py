"""A plugin that `pgchaos run` loads: without a path on the command line, pytest runs the folders of chaos_paths."""

from __future__ import annotations

import pytest

from pgchaos.pytest_plugin.stash import OPTIONS


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Name the folders, where the command line names nothing."""
    options = config.stash.get(OPTIONS, None)  # None where the plugin of pgchaos is switched off
    folders = [] if options is None else [str(path) for path in options.paths if path.is_dir()]
    if folders and config.args_source is not config.ArgsSource.ARGS:
        config.args = folders
