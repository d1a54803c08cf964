"""The options of the plugin, each with an ini key of the same name."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from pgchaos.language.durations import LONGEST, parse_duration
from pgchaos.language.tags import TAGS
from pgchaos.report.replay import MAKE
from pgchaos.runner.options import Options
from pgchaos.server.settings import Conninfo, ServerSettings

if TYPE_CHECKING:
    from pgchaos.schedule.token import Token

_TAG = re.compile(r"[a-z][a-z0-9_]*")
# An extension under test, and the required version, if any.
EXTENSION = re.compile(r"(?P<name>[\w-]+)(?:\s*(?P<operator>>=|<=|>|<|=)\s*(?P<version>[0-9][\w.-]*))?")
_EXTENSION_NAME = re.compile(r"[\w-]+")
_MUTANT_ID = re.compile(r"(?<!\.py)::[^\[]*\[(?:[^\]]*,)?mutant-")
_CONSTANT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_SEED_BITS = 31
_LEAST_TIMEOUT = 0.001
_TIMEOUT = 60.0
_CLONES = 2

# The markers in every project; ini `chaos_tags` adds others.
MARKERS = {"chaos": "a chaos scenario", **TAGS}

# The files that a run writes, by option: the help text, and the metavar.
FILE_OPTIONS = {
    "report": ("write a page of all scenarios, with their timelines, into this file (HTML)", "FILE"),
    "json": ("write what the page shows as JSON into this file", "FILE"),
    "trace": ("write the timelines into this file, for Perfetto (Chrome's trace events)", "FILE"),
    "svg": ("write a picture of each scenario that failed into this folder", "DIR"),
}
_T = TypeVar("_T")


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

    add("dsn", "run on this server ('' is libpq's environment), in databases created for the run", "DSN")
    add("pg_bindir", "start a private server with the PostgreSQL programs in DIR", "DIR")
    add("seed", "the seed of everything random (default: drawn, and printed)", "N")
    add("timeout", "the timeout of sessions where the scenario sets none, such as 30s (default: 60s)", "TIME")
    add("in_place", "work in the named database instead of databases created for the run")
    add("allow_destructive", "a database whose whole server may be harmed", "DBNAME", many=True)
    add("pgtap", "collect pgTAP files without directives, and isolation specs, too")
    add("pgtap_keep", "run plain pgTAP files in one database, in order: the next file sees what one commits")
    add("accept", "write what isolation specs print as their expected output, instead of comparing it")
    add(
        "load_extension",
        "create this extension before each isolation spec, as pg_isolation_regress does",
        "NAME",
        many=True,
    )
    add("pgtap_sql", "load pgTAP from this file or folder, even where the server has it", "PATH")
    add("paths", "a folder whose scenarios are collected without being named (default: sql)", "DIR", many=True)
    add("tags", "a further tag of scenarios, registered as a marker", "TAG", many=True)
    add("extensions", "an extension under test, created for tests in Python where the server has it", "NAME", many=True)
    add("set", "set a psql variable of scenarios, NAME=VALUE, as psql -v does", "ASSIGNMENT", many=True)
    add("jobs", "scenarios that run in parallel (default: by processors and free connections)", "N")
    add("mutants", "run the mutants of each scenario too: an item each, which passes if the scenario fails")
    add("replay", "replay one interleaving, with the token of a failure's report", "TOKEN or @FILE")
    add("selfcheck", "run each schedule twice, and fail where the runs differ; not for free runs")
    add("amcheck", "look for corruption after every scenario, not only after those tagged corruption or recovery")
    add("repeat", "run each scenario so many times, and report how often it fails", "N")
    add("show", "show the timeline of scenarios that passed, too")
    add("clones", "databases created in advance (default: 2, or the number of --chaos-jobs)", "N")
    for name, (text, metavar) in FILE_OPTIONS.items():
        add(name, text, metavar)


def read_options(config: pytest.Config) -> Options:
    """Read the options: the command line overrides the ini file. Raises pytest.UsageError for an invalid value."""
    token = _value(config, "replay", lambda text: _token(text, folder_of(config, "replay")))
    seed = _value(config, "seed", _seed)
    if seed is None and token is not None:
        seed = token.seed
    timeout = _value(config, "timeout", duration)
    clones = _value(config, "clones", _whole("databases", 0))
    jobs = _value(config, "jobs", _whole("scenarios", 1))
    server = ServerSettings(
        dsn=_value(config, "dsn", Conninfo),
        pg_bindir=_path(config, "pg_bindir"),
        in_place=_flag(config, "in_place"),
        allow_destructive=_list(config, "allow_destructive"),
        pgtap=_path(config, "pgtap_sql"),
        clones=max(_CLONES, jobs or 0) if clones is None else clones,
    )
    return Options(
        server=server,
        seed=int.from_bytes(os.urandom(4), "big") >> (32 - _SEED_BITS) if seed is None else seed,
        timeout=_TIMEOUT if timeout is None else timeout,
        pgtap_files=_flag(config, "pgtap"),
        paths=_folders(config),
        tags=_each(config, "tags", _TAG, "expected a word of a-z, 0-9 and _"),
        extensions=_each(config, "extensions", EXTENSION, "expected the name of an extension, or name >= version"),
        has_paths=config.args_source is config.ArgsSource.ARGS,
        jobs=jobs,
        mutants=_mutants(config),
        token=token,
        selfcheck=_flag(config, "selfcheck"),
        amcheck=_flag(config, "amcheck"),
        show=_flag(config, "show"),
        draw_seed=_draw_seed(config),
        replay=_replay_options(config),
        command=_called_as(),
        spec_timeout=timeout,
        accept=_flag(config, "accept"),
        pgtap_keep=_pgtap_keep(config),
        load_extensions=_each(config, "load_extension", _EXTENSION_NAME, "expected the name of an extension"),
        constants=_constants(config),
        repeat=_repeat(config),
        same_seed=raw_value(config, "seed")[1] is not None or token is not None,
    )


def _token(text: str, folder: Path) -> Token:
    from pgchaos.pytest_plugin.token_file import read_token

    return read_token(text, folder)


def duration(text: str) -> float:
    """Parse a time such as `500ms` or `2min` into seconds; ValueError unless from a millisecond to a day."""
    seconds = parse_duration(text.strip())
    if seconds is None:
        raise ValueError(f"invalid time '{text}': expected a number and its unit, such as 500ms, 30s or 2min")
    if not _LEAST_TIMEOUT <= seconds <= LONGEST:
        raise ValueError(f"invalid time '{text}': expected a time from 1ms to 24h")
    return seconds


def raw_value(config: pytest.Config, name: str) -> tuple[str, object]:
    """Return the source of an option's value, for messages, and the value as written."""
    given = config.getoption(f"chaos_{name}")
    if given is not None:
        return "--chaos-" + name.replace("_", "-"), given
    return f"ini chaos_{name}", config.getini(f"chaos_{name}")


def _value(config: pytest.Config, name: str, read: Callable[[str], _T]) -> _T | None:
    source, raw = raw_value(config, name)
    if raw is None:
        return None
    try:
        return read(str(raw))
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}") from None


def _flag(config: pytest.Config, name: str) -> bool:
    return bool(raw_value(config, name)[1])


def _list(config: pytest.Config, name: str) -> tuple[str, ...]:
    _, raw = raw_value(config, name)
    return tuple(map(str, raw)) if isinstance(raw, list) else ()


def _seed(text: str) -> int:
    # int() also accepts signs, blanks and underscores
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"invalid seed '{text}': expected a whole number such as 1234")
    return int(text)


def _draw_seed(config: pytest.Config) -> int | None:
    # hypothesis's own plugin also accepts the word random
    text = str(config.getoption("hypothesis_seed", None) or "")
    return int(text) if text.isdigit() else None


def _whole(what: str, least: int, most: int = 999) -> Callable[[str], int]:
    """Make a function that reads a whole number."""

    def read(text: str) -> int:
        if not re.fullmatch(r"0|[1-9][0-9]{0,5}", text) or not least <= int(text) <= most:
            raise ValueError(f"invalid number of {what} '{text}': expected a whole number from {least} to {most:,}")
        return int(text)

    return read


def _mutants(config: pytest.Config) -> bool:
    wanted = _flag(config, "mutants")
    named = next((arg for arg in config.args if _MUTANT_ID.search(arg)), None)
    if named is not None and not wanted:
        raise pytest.UsageError(f"{named} is a mutant: add --chaos-mutants")
    return wanted


def _pgtap_keep(config: pytest.Config) -> bool:
    source, raw = raw_value(config, "pgtap_keep")
    if raw and (hasattr(config, "workerinput") or getattr(config.option, "numprocesses", None)):
        raise pytest.UsageError(f"{source}: these files must run in order in one database: leave out -n")
    return bool(raw)


def _repeat(config: pytest.Config) -> int:
    count = _value(config, "repeat", _whole("runs", 1, 100_000)) or 1
    if count > 1 and _flag(config, "pgtap_keep"):
        raise pytest.UsageError("--chaos-repeat: with --chaos-pgtap-keep files build on each other: leave one out")
    return count


def _path(config: pytest.Config, name: str) -> Path | None:
    source, raw = raw_value(config, name)
    if raw is None:
        return None
    path = folder_of(config, name) / Path(not_empty(source, str(raw))).expanduser()
    if not path.exists():
        raise pytest.UsageError(f"{source}: '{path}' does not exist")
    return path


def not_empty(source: str, path: str) -> str:
    """Return the path in an option; raises pytest.UsageError if it is empty."""
    if not path.strip():
        raise pytest.UsageError(f"{source}: the path is empty; is a variable of the shell not set?")
    return path


def folder_of(config: pytest.Config, name: str) -> Path:
    """Return the folder that a path in an option, or in its ini key, is relative to."""
    given = config.getoption(f"chaos_{name}") is not None
    return config.invocation_params.dir if given else _ini_folder(config)


def _folders(config: pytest.Config) -> tuple[Path, ...]:
    source, _ = raw_value(config, "paths")
    names = [not_empty(source, name) for name in _list(config, "paths")] or ["sql"]
    if source.startswith("--"):
        return tuple(config.invocation_params.dir / name for name in names)
    return tuple(dict.fromkeys(folder / name for folder in (_ini_folder(config), config.rootpath) for name in names))


def _ini_folder(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath is not None else config.rootpath


def _each(config: pytest.Config, name: str, form: re.Pattern[str], expected: str) -> tuple[str, ...]:
    """Return the values of a repeatable option, each once."""
    source, _ = raw_value(config, name)
    values = _list(config, name)
    for value in values:
        if not form.fullmatch(value):
            raise pytest.UsageError(f"{source}: invalid value '{value}': {expected}")
    return tuple(dict.fromkeys(values))


def _constants(config: pytest.Config) -> dict[str, str]:
    """Return the psql variables of --chaos-set; the last value of a name counts, as in psql."""
    source, _ = raw_value(config, "set")
    found = {}
    for value in _list(config, "set"):
        name, equals, text = value.partition("=")
        if not (equals and _CONSTANT.fullmatch(name)):
            what = "expected NAME=VALUE, with a name of at least three letters, digits or underscores"
            raise pytest.UsageError(f"{source}: invalid value '{value}': {what}")
        found[name] = text
    return found


# Options that affect where and how a scenario runs.
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
    "set",
    "mutants",
    "selfcheck",
    "amcheck",
)


def _replay_options(config: pytest.Config) -> tuple[str, ...]:
    dsn = config.getoption("chaos_dsn")
    options = [] if dsn is None else _server_option(dsn)
    for name in _REPLAYED:
        flag, value = "--chaos-" + name.replace("_", "-"), config.getoption(f"chaos_{name}")
        if value is True:
            options.append(flag)
        elif value is not None:
            options += [f"{flag}={one}" for one in (value if isinstance(value, list) else [value])]
    draw_seed = config.getoption("hypothesis_seed", None)
    return tuple(options if draw_seed is None else [*options, f"--hypothesis-seed={draw_seed}"])


def _server_option(dsn: str) -> list[str]:
    # psycopg is loaded only if a server is named
    from pgchaos.server.conninfo import masked
    from pgchaos.server.settings import ServerError

    try:
        return [f"--chaos-dsn={masked(dsn)}"]
    except ServerError:
        return []  # nothing runs


def _called_as() -> str:
    """Return how the user called pytest: by make, which sets CHAOS_MAKE, by path, or by name."""
    if "CHAOS_MAKE" in os.environ:
        # make exports what its command line sets; `$` in a value is doubled for make
        given = [(name, os.environ.get(name)) for name in ("PG_BINDIR", "PG_CONFIG", "CHAOS_PYTHON")]
        return " ".join([MAKE, *(f"{name}={shlex.quote(value.replace('$', '$$'))}" for name, value in given if value)])
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m pgchaos run" if program.parent.name == "pgchaos" else "python -m pytest"
    run = " run" if program.name == "pgchaos" else ""
    found = shutil.which(program.name)
    if program.name not in ("pytest", "py.test", "pgchaos") or (found and Path(found).resolve() == program.resolve()):
        return "pgchaos run" if run else "pytest"
    return f"{os.path.relpath(program)}{run}"
