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
    timeout: float  # seconds, of the sessions of a scenario without a timeout of its own
    pgtap_files: bool = False  # collect pgTAP files without directives, and isolation specs, too
    paths: tuple[Path, ...] = ()  # folders whose scenarios are collected without being named
    tags: tuple[str, ...] = ()  # further ones
    extensions: tuple[str, ...] = ()  # under test, each with the required version, if any
    named: bool = False  # the command line names files or folders
    jobs: int | None = None  # scenarios at once; None to choose
    mutants: bool = False
    token: Token | None = None  # of the only run, which is replayed
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
    same_seed: bool = False  # of these runs
    boxes: bool = False  # the terminal has colours and box characters
    width: int | None = None  # of the terminal, where a worker of pytest-xdist does not see it
