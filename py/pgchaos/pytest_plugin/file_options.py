"""The options for report files, and GitHub Actions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pgchaos.pytest_plugin.options import FILE_OPTIONS, folder_of, not_empty, raw_value
from pgchaos.pytest_plugin.scenario_item import SCENARIO_SUFFIXES
from pgchaos.pytest_plugin.stash import RUNNER


def write_files(config: pytest.Config) -> None:
    """Register the writer of report files and GitHub's annotations, if there are any.

    Raises pytest.UsageError if a file cannot be written, or is a scenario.
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
    """Return the files of the options, by option."""
    return {name: path for name in FILE_OPTIONS if (path := _path(config, name)) is not None}


def _path(config: pytest.Config, name: str) -> Path | None:
    source, text = raw_value(config, name)
    if text is None:
        return None
    # resolved: the target of a link is written
    return (folder_of(config, name) / Path(os.path.expandvars(not_empty(source, str(text)))).expanduser()).resolve()


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
