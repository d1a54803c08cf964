"""The options of the plugin, each with the ini key that mirrors it, and what they come to."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from pgchaos.language.durations import LONGEST, parse_duration
from pgchaos.language.header_model import TAGS
from pgchaos.pytest_plugin.token_file import read_token
from pgchaos.report import MAKE
from pgchaos.schedule.token import Token
from pgchaos.server.settings import Conninfo, ServerSettings

_TAG = re.compile(r"[a-z][a-z0-9_]*")
EXTENSION = re.compile(r"(?P<name>[\w-]+)(?:\s*(?P<operator>>=|<=|>|<|=)\s*(?P<version>[0-9][\w.-]*))?")
"""An extension under test, and its version where one is required."""
_LOADED = re.compile(r"[\w-]+")
_SEED_BITS = 31
_LEAST_TIMEOUT = 0.001
_TIMEOUT = 60.0
_CLONES = 2

MARKERS = {"chaos": "a chaos scenario", **TAGS}
"""The markers of every project; those of ini `chaos_tags` come beside them."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for.

    Args:
        server: which server to use.
        seed: of everything random.
        timeout: of the sessions of a scenario that says none, in seconds.
        pgtap_files: collect pgTAP files without directives too.
        paths: folders whose scenarios are collected without being named.
        tags: further tags.
        extensions: under test, each with the version that is required, if any.
        named: the command line names files or folders.
        jobs: scenarios at once, None to choose.
        mutants: run the mutants of each scenario too.
        token: of the interleaving that shall be run again, and nothing else; or None.
        selfcheck: run each schedule twice.
        amcheck: look for corruption after every scenario.
        show: tell of passing runs what they did, too.
        draw_seed: of the values of `given`, where --hypothesis-seed says another than the seed.
        replay: options of the command line that a replay needs as well.
        spec_timeout: as asked for, in seconds: of a step of an isolation spec, and of a plain pgTAP file; None for no
            more than isolationtester and pg_prove have.
        pgtap_keep: plain pgTAP files build on each other: all of them have one database.
        accept: take what isolation specs print for what is expected of them.
        load_extensions: created in the database of each isolation spec before it runs.
        command: how pytest was called, for the line that runs an item again.
    """

    server: ServerSettings
    seed: int
    timeout: float
    pgtap_files: bool
    paths: tuple[Path, ...]
    tags: tuple[str, ...]
    extensions: tuple[str, ...]
    named: bool
    jobs: int | None = None
    mutants: bool = False
    token: Token | None = None
    selfcheck: bool = False
    amcheck: bool = False
    show: bool = False
    draw_seed: int | None = None
    replay: tuple[str, ...] = ()
    command: str = "pytest"
    spec_timeout: float | None = None
    accept: bool = False
    pgtap_keep: bool = False
    load_extensions: tuple[str, ...] = ()


def add_options(parser: pytest.Parser) -> None:
    """Declare every option and its ini key."""
    group = parser.getgroup("chaos", "chaos scenarios for PostgreSQL (pgchaos)")

    def add(name: str, text: str, metavar: str | None = None, *, many: bool = False) -> None:
        flag = "--chaos-" + name.replace("_", "-")
        if metavar is None:
            group.addoption(flag, action="store_true", default=None, help=text)
            parser.addini(f"chaos_{name}", text, type="bool", default=False)
        elif many:
            group.addoption(flag, action="append", default=None, metavar=metavar, help=text)
            parser.addini(f"chaos_{name}", text, type="linelist", default=None)
        else:
            group.addoption(flag, default=None, metavar=metavar, help=text)
            parser.addini(f"chaos_{name}", text, type="string", default=None)

    add("dsn", "run on this server ('' is libpq's environment), in databases of our own", "DSN")
    add("pg_bindir", "start a private server of the PostgreSQL whose programs lie in DIR", "DIR")
    add("seed", "of everything random (default: drawn, and printed)", "N")
    add("timeout", "for the sessions of a scenario that says none, such as 30s (default: 60s)", "TIME")
    add("in_place", "work in the named database instead of databases of our own")
    add("allow_destructive", "a database whose server may be harmed as a whole", "DBNAME", many=True)
    add("pgtap", "collect pgTAP files without directives, and isolation specs, too")
    add("pgtap_keep", "run plain pgTAP files in one database, in order: what one commits is there for the next")
    add("accept", "write what isolation specs print as their expected output, instead of comparing it")
    add(
        "load_extension",
        "create this extension before each isolation spec, as pg_isolation_regress does",
        "NAME",
        many=True,
    )
    add("pgtap_sql", "load pgTAP from this file or folder, whatever the server offers", "PATH")
    add("paths", "a folder whose scenarios are collected without being named (default: sql)", "DIR", many=True)
    add("tags", "a further tag of scenarios, registered as a marker", "TAG", many=True)
    add("extensions", "an extension under test, created for tests in Python where the server has it", "NAME", many=True)
    add("jobs", "scenarios run side by side (default: by processors and free connection slots)", "N")
    add("mutants", "run each scenario's mutants too: an item each, which passes when the scenario fails for it")
    add("replay", "run again, alone, the interleaving that the report of a failure gave a token for", "TOKEN or @FILE")
    add("selfcheck", "run each schedule twice, and fail where it does not go the same way: free runs are left out")
    add("amcheck", "look for corruption after every scenario, not only those tagged corruption or recovery")
    add("show", "show what passing scenarios did, too: who ran what, in order of time")
    add("clones", "databases that are made ahead of use (default: 2, or as many as --chaos-jobs says)", "N")


def read_options(config: pytest.Config) -> Options:
    """Work out what the user asked for: the command line wins over the ini file, which wins over the default."""
    token = _value(config, "replay", lambda text: read_token(text, _folder(config, "replay")))
    seed = _value(config, "seed", _seed)
    if seed is None and token is not None:
        seed = token.seed
    timeout = _value(config, "timeout", duration)
    clones = _value(config, "clones", _count)
    jobs = _value(config, "jobs", _jobs)
    server = ServerSettings(
        dsn=_value(config, "dsn", Conninfo),
        pg_bindir=_path(config, "pg_bindir"),
        in_place=bool(_raw(config, "in_place")[1]),
        allow_destructive=_list(config, "allow_destructive"),
        pgtap=_path(config, "pgtap_sql"),
        clones=max(_CLONES, jobs or 0) if clones is None else clones,
    )
    return Options(
        server=server,
        seed=secrets.randbits(_SEED_BITS) if seed is None else seed,
        timeout=_TIMEOUT if timeout is None else timeout,
        pgtap_files=bool(_raw(config, "pgtap")[1]),
        paths=_folders(config),
        tags=_each(config, "tags", _TAG, "no tag: write a word of a-z, 0-9 and _"),
        extensions=_each(config, "extensions", EXTENSION, "no extension: write its name, or name >= version"),
        named=config.args_source is config.ArgsSource.ARGS,
        jobs=jobs,
        mutants=bool(_raw(config, "mutants")[1]),
        token=token,
        selfcheck=bool(_raw(config, "selfcheck")[1]),
        amcheck=bool(_raw(config, "amcheck")[1]),
        show=bool(_raw(config, "show")[1]),
        draw_seed=_draw_seed(config),
        replay=_replay(config),
        command=_command(),
        spec_timeout=timeout,
        accept=bool(_raw(config, "accept")[1]),
        pgtap_keep=_keeps(config),
        load_extensions=_each(config, "load_extension", _LOADED, "no name of an extension"),
    )


def duration(text: str) -> float:
    """Read a time with its unit.

    Args:
        text: such as `500ms`, `30s` or `2min`.

    Returns:
        Seconds.

    Raises:
        ValueError: it is not a time, or not between a millisecond and a day.
    """
    seconds = parse_duration(text.strip())
    if seconds is None:
        raise ValueError(f"'{text}' is not a time: write a number and its unit, such as 500ms, 30s or 2min")
    if not _LEAST_TIMEOUT <= seconds <= LONGEST:
        raise ValueError(f"'{text}' is too short or too long: write a time from 1ms to 24h")
    return seconds


def _raw(config: pytest.Config, name: str) -> tuple[str, object]:
    given = config.getoption(f"chaos_{name}")
    if given is not None:
        return "--chaos-" + name.replace("_", "-"), given
    return f"ini chaos_{name}", config.getini(f"chaos_{name}")


def _value(config: pytest.Config, name: str, read: Callable[[str], _T]) -> _T | None:
    source, raw = _raw(config, name)
    if raw is None:
        return None
    try:
        return read(str(raw))
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}") from None


def _list(config: pytest.Config, name: str) -> tuple[str, ...]:
    _, raw = _raw(config, name)
    return tuple(map(str, raw)) if isinstance(raw, list) else ()


def _seed(text: str) -> int:
    # int() would take signs, blanks and underscores too
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"'{text}' is no seed: write a whole number such as 1234")
    return int(text)


def _draw_seed(config: pytest.Config) -> int | None:
    # of hypothesis's own plugin, which also takes the word random
    said = str(config.getoption("hypothesis_seed", None) or "")
    return int(said) if said.isdigit() else None


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise ValueError(f"'{text}' is no number of databases: write a whole number from 0 to 999")
    return int(text)


def _jobs(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text):
        raise ValueError(f"'{text}' is no number of scenarios: write a whole number from 1 to 999")
    return int(text)


def _keeps(config: pytest.Config) -> bool:
    source, raw = _raw(config, "pgtap_keep")
    if raw and (hasattr(config, "workerinput") or getattr(config.option, "numprocesses", None)):
        raise pytest.UsageError(f"{source}: these files are run one after the other, in one database: leave out -n")
    return bool(raw)


def _path(config: pytest.Config, name: str) -> Path | None:
    source, raw = _raw(config, name)
    if raw is None:
        return None
    path = _folder(config, name) / Path(str(raw)).expanduser()
    if not path.exists():
        raise pytest.UsageError(f"{source}: there is no '{path}'")
    return path


def _folder(config: pytest.Config, name: str) -> Path:
    """Tell what a path is relative to that an option or its ini key holds."""
    given = config.getoption(f"chaos_{name}") is not None
    return config.invocation_params.dir if given else _ini_folder(config)


def _folders(config: pytest.Config) -> tuple[Path, ...]:
    source, _ = _raw(config, "paths")
    names = _list(config, "paths") or ("sql",)
    if source.startswith("--"):
        return tuple(config.invocation_params.dir / name for name in names)
    return tuple(dict.fromkeys(folder / name for folder in (_ini_folder(config), config.rootpath) for name in names))


def _ini_folder(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath is not None else config.rootpath


def _each(config: pytest.Config, name: str, form: re.Pattern[str], meant: str) -> tuple[str, ...]:
    """Take the values of an option that may be given more than once, all of one form."""
    source, _ = _raw(config, name)
    values = _list(config, name)
    for value in values:
        if not form.fullmatch(value):
            raise pytest.UsageError(f"{source}: '{value}' is {meant}")
    return tuple(dict.fromkeys(values))


def _command() -> str:
    """Tell how the user called pytest: through make, which says so, by a path, or by name."""
    if "CHAOS_MAKE" in os.environ:
        bindir = os.environ.get("PG_BINDIR")
        return f"PG_BINDIR={shlex.quote(bindir)} {MAKE}" if bindir else MAKE
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m pytest"
    found = shutil.which(program.name)
    if program.name not in ("pytest", "py.test") or (found and Path(found).resolve() == program.resolve()):
        return "pytest"
    return os.path.relpath(program)


_REPLAYED = (
    "pg_bindir",
    "timeout",
    "in_place",
    "allow_destructive",
    "pgtap",
    "pgtap_keep",
    "pgtap_sql",
    "load_extension",
    "tags",
)
"""Options that say where and how a scenario is run."""


def _replay(config: pytest.Config) -> tuple[str, ...]:
    dsn = config.getoption("chaos_dsn")
    # a password is not printed: who gave it gives it again
    shown = dsn is not None and _may_be_shown(dsn)
    said = [f"--chaos-dsn={dsn}"] if shown else []
    for name in (*_REPLAYED, "mutants", "selfcheck", "amcheck"):
        flag, value = "--chaos-" + name.replace("_", "-"), config.getoption(f"chaos_{name}")
        if value is True:
            said.append(flag)
        elif value is not None:
            said += [f"{flag}={one}" for one in (value if isinstance(value, list) else [value])]
    draws = config.getoption("hypothesis_seed", None)
    return tuple(said if draws is None else [*said, f"--hypothesis-seed={draws}"])


def _may_be_shown(dsn: str) -> bool:
    # psycopg is loaded by those who name a server
    from pgchaos.server.conninfo import may_be_shown

    return may_be_shown(dsn)
