"""The options that name files which a run writes, and what GitHub Actions asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pgchaos.pytest_plugin.scenario_item import SCENARIO_SUFFIXES
from pgchaos.pytest_plugin.stash import RUNNER

# By name: the help, and what the value is.
FILE_OPTIONS = {
    "report": ("write a page of all scenarios, with their timelines, into this file (HTML)", "FILE"),
    "json": ("write what the page shows as JSON into this file", "FILE"),
    "trace": ("write the timelines into this file, for Perfetto (Chrome's trace events)", "FILE"),
    "svg": ("write a picture of each scenario that failed into this folder", "DIR"),
}


def add_file_options(parser: pytest.Parser) -> None:
    """Declare the options and their ini keys."""
    group = parser.getgroup("chaos")
    for name, (text, metavar) in FILE_OPTIONS.items():
        group.addoption(f"--chaos-{name}", default=None, metavar=metavar, help=text)
        parser.addini(f"chaos_{name}", text, type="string", default=None)


def write_files(config: pytest.Config) -> None:
    """Have the run write its files, and GitHub's annotations; where there are none of both, nothing is loaded."""
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
    """Give the files that the options name, by option."""
    return {name: path for name in FILE_OPTIONS if (path := _path(config, name)) is not None}


def _path(config: pytest.Config, name: str) -> Path | None:
    given = config.getoption(f"chaos_{name}")
    text = config.getini(f"chaos_{name}") if given is None else given
    if not text:
        return None
    folder = config.invocation_params.dir
    if given is None:
        folder = config.rootpath if config.inipath is None else config.inipath.parent
    # a link stays, and what it leads to is written
    return (folder / Path(os.path.expandvars(text)).expanduser()).resolve()


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
