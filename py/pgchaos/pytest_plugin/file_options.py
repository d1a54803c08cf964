"""The options that name files which a run writes, and what GitHub Actions asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pgchaos.pytest_plugin.options import FILE_OPTIONS, folder_of, raw_value
from pgchaos.pytest_plugin.scenario_item import SCENARIO_SUFFIXES
from pgchaos.pytest_plugin.stash import RUNNER


def write_files(config: pytest.Config) -> None:
    """Have the run write its files, and GitHub's annotations; where there are none of both, nothing is loaded.

    Raises pytest.UsageError where a file cannot be written, or is one that is run.
    """
    files = named_files(config)
    on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    if not files and not on_github:
        return
    if not hasattr(config, "workerinput") and not config.getoption("collectonly"):
        _check(files)
    if files:
        config.stash[RUNNER].for_files = True
    from pgchaos.pytest_plugin.report_files import ReportFiles

    config.pluginmanager.register(ReportFiles(config, files, on_github=on_github), "pgchaos files")


def named_files(config: pytest.Config) -> dict[str, Path]:
    """Return the files that the options name, by option."""
    return {name: path for name in FILE_OPTIONS if (path := _path(config, name)) is not None}


def _path(config: pytest.Config, name: str) -> Path | None:
    _, text = raw_value(config, name)
    # a link stays, and what it leads to is written
    return (folder_of(config, name) / Path(os.path.expandvars(str(text))).expanduser()).resolve() if text else None


def _check(files: Mapping[str, Path]) -> None:
    from pgchaos.report.export.output_file import check_folder, check_writable

    name, path = "", Path()
    named: dict[Path, str] = {}
    try:
        for name, path in files.items():
            other = named.setdefault(path, name)
            if other != name:
                raise pytest.UsageError(f"--chaos-{name}: '{path}' is the file of --chaos-{other}: name another")
            if path.suffix in SCENARIO_SUFFIXES | {".py"} and path.is_file():
                raise pytest.UsageError(f"--chaos-{name}: '{path}' would be overwritten: name a file for the output")
            (check_folder if name == "svg" else check_writable)(path)
    except OSError as error:
        raise pytest.UsageError(f"--chaos-{name}: '{path}' cannot be written: {error.strerror or error}") from None
