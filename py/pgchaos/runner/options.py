"""The options of a run of the test runner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pgchaos.server.settings import ServerSettings

if TYPE_CHECKING:
    from pgchaos.schedule.token import Token


class Options(NamedTuple):
    """What the command line and the ini file ask for."""

    server: ServerSettings
    seed: int
    timeout: float  # seconds for the sessions of a scenario that sets no timeout
    pgtap_files: bool = False  # also collect pgTAP files without directives, and isolation specs
    paths: tuple[Path, ...] = ()  # folders whose scenarios are always collected
    tags: tuple[str, ...] = ()  # of the project
    extensions: tuple[str, ...] = ()  # under test, each with the required version, if any
    has_paths: bool = False  # the command line contains files or folders
    jobs: int | None = None  # scenarios in parallel; None to choose
    mutants: bool = False
    token: Token | None = None  # of the one interleaving to replay
    selfcheck: bool = False
    amcheck: bool = False
    show: bool = False
    draw_seed: int | None = None  # of the values of `given`, from --hypothesis-seed; None for the seed
    replay: tuple[str, ...] = ()  # options of the command line that a replay needs too
    command: str = "pytest"  # how pytest was called, for the line that runs an item again
    # seconds for a step of an isolation spec and for a plain pgTAP file; None for the limits of isolationtester and
    # pg_prove
    spec_timeout: float | None = None
    accept: bool = False
    pgtap_keep: bool = False
    load_extensions: tuple[str, ...] = ()
    constants: Mapping[str, str] = MappingProxyType({})  # psql variables that are set before a file is read
    repeat: int = 1  # runs of each scenario
    same_seed: bool = False  # in all of these runs
    boxes: bool = False  # the terminal has colours and box characters
    width: int | None = None  # of the terminal, in a worker of pytest-xdist
