from __future__ import annotations

import re

import pytest

from pgchaos.pytest_plugin.file_options import named_files
from pgchaos.pytest_plugin.options import FILE_OPTIONS, duration, read_options
from pgchaos.runner.options import Options
from tests.pytest_plugin.conftest import FINE, INI, Project
from tests.pytest_plugin.pages import ROOT, page

TABLE = {
    found["name"]: found
    for found in re.finditer(
        r"^\| `--chaos-(?P<name>[a-z-]+)(?: (?P<value>[A-Z]+))?`(?P<many> \*)? \| (?P<default>.*?) \|",
        page("sql/LANGUAGE.md"),
        re.MULTILINE,
    )
}
"""The options as the language reference lists them."""
FIELDS = {"load-extension": "load_extensions", "pgtap": "pgtap_files", "pgtap-sql": "pgtap", "replay": "token"} | {
    "set": "constants"
}
"""Those whose field has another name."""


def options(project: Project, *args: str) -> Options:
    return read_options(project.pytester.parseconfig(*args))


def test_the_defaults(project: Project) -> None:
    got = options(project)
    assert (got.timeout, got.pgtap_files, got.tags, got.replay) == (60.0, False, (), ())
    assert got.paths == (project.pytester.path / "sql",)
    server = got.server
    assert (server.dsn, server.pg_bindir, server.pgtap, server.clones) == (None, None, None, 2)
    assert (server.in_place, server.allow_destructive) == (False, ())


def test_the_language_reference_lists_every_option(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    output = project.look("--help").stdout.str()
    registered = dict(re.findall(r"^  --chaos-([a-z-]+)(?:=([A-Z]+))?\b", output, re.MULTILINE))
    assert {name: row["value"] or "" for name, row in TABLE.items()} == registered
    kinds = dict(re.findall(r"^  chaos_([a-z_]+) \((\w+)\):", output, re.MULTILINE))
    assert kinds == {
        name.replace("-", "_"): "linelist" if row["many"] else "string" if row["value"] else "bool"
        for name, row in TABLE.items()
    }


def test_and_its_default(project: Project) -> None:
    got = options(project)
    known = {
        "off": False,
        "1": 1,
        "`60s`": duration("60s"),
        "`sql`": (project.pytester.path / "sql",),
        "2, or as many as `--chaos-jobs` says": options(project, "--chaos-jobs=2").server.clones,
    }
    for name, row in TABLE.items():
        field = FIELDS.get(name, name.replace("-", "_"))
        value: object
        if name in FILE_OPTIONS:
            value = named_files(project.pytester.parseconfig()).get(name)
        else:
            value = getattr(got if hasattr(got, field) else got.server, field)
        if row["default"] == "none":
            assert value in (None, (), {}), name
        elif row["default"] == "drawn, and printed":
            assert {options(project).seed for _ in range(3)} != {value}
        else:
            # what is none of these is worked out from the machine, the server or the environment, in the run
            assert value == known.get(row["default"]), name
    assert options(project, "--chaos-jobs=5").server.clones == 5


def test_no_page_names_an_option_that_is_none() -> None:
    # hidden folders hold what tools keep: some of it goes while it is looked through
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    found = (page for top in tops if top.is_dir() for page in top.rglob("*.md"))
    pages = [ROOT / "Makefile", *(path for path in tops if path.suffix == ".md"), *found]
    named = {name for path in pages for name in re.findall(r"--chaos-([a-z]+(?:-[a-z]+)*)", path.read_text("utf-8"))}
    assert len(named) > 10
    assert not named - set(TABLE)


def test_every_option_and_the_ini_key_that_mirrors_it(project: Project) -> None:
    (project.pytester.path / "bin").mkdir()
    (project.pytester.path / "pgtap.sql").touch()
    values = {
        "dsn": "host=db dbname=x",
        "pg_bindir": "bin",
        "seed": "7",
        "timeout": "1500ms",
        "allow_destructive": "db1",
        "load_extension": "citext",
        "pgtap_sql": "pgtap.sql",
        "paths": "scenarios",
        "tags": "nightly",
        "set": "table=stock = 1",
        "clones": "0",
    }
    by_option = options(
        project,
        "--chaos-in-place",
        "--chaos-pgtap",
        *(f"--chaos-{name.replace('_', '-')}={value}" for name, value in values.items()),
    )
    project.pytester.makeini(
        INI
        + "chaos_in_place = true\nchaos_pgtap = true\n"
        + "".join(f"chaos_{name} = {value}\n" for name, value in values.items())
    )
    by_ini = options(project)
    for got in (by_option, by_ini):
        assert (got.seed, got.timeout, got.pgtap_files, got.tags) == (7, 1.5, True, ("nightly",))
        assert got.paths == (project.pytester.path / "scenarios",)
        assert got.load_extensions == ("citext",)
        assert got.constants == {"table": "stock = 1"}
        assert got.server.dsn == "host=db dbname=x"
        assert got.server.pg_bindir == project.pytester.path / "bin"
        assert got.server.pgtap == project.pytester.path / "pgtap.sql"
        assert (got.server.in_place, got.server.allow_destructive, got.server.clones) == (True, ("db1",), 0)
    # the command line of a replay repeats what the ini file does not say
    assert by_option.replay == (
        "--chaos-dsn=host=db dbname=x",
        "--chaos-pg-bindir=bin",
        "--chaos-timeout=1500ms",
        "--chaos-in-place",
        "--chaos-allow-destructive=db1",
        "--chaos-pgtap",
        "--chaos-pgtap-sql=pgtap.sql",
        "--chaos-load-extension=citext",
        "--chaos-tags=nightly",
        "--chaos-set=table=stock = 1",
    )
    assert by_ini.replay == ()


def test_the_command_line_wins(project: Project) -> None:
    project.pytester.makeini(INI + "chaos_seed = 1\nchaos_tags = a\n")
    assert options(project, "--chaos-seed=2").seed == 2
    assert options(project, "--chaos-tags=b", "--chaos-tags=c").tags == ("b", "c")


@pytest.mark.parametrize("dsn", ["host=db password=secret", "postgresql://me:secret@db/x"])
def test_a_password_is_not_repeated(project: Project, dsn: str) -> None:
    (option,) = options(project, f"--chaos-dsn={dsn}").replay
    assert "host=db" in option
    assert "secret" not in option
    assert options(project, "--chaos-dsn=postgresql://me@db:5432/x").replay == (
        "--chaos-dsn=postgresql://me@db:5432/x",
    )


def test_an_empty_dsn_is_libpqs_environment(project: Project) -> None:
    assert options(project, "--chaos-dsn=").server.dsn == ""


def test_without_a_seed_one_is_drawn_and_printed(project: Project) -> None:
    seeds = set()
    for _ in range(3):
        result = project.look("--collect-only")
        (line,) = (line for line in result.outlines if line.startswith("pgchaos "))
        seeds.add(line)
        assert re.fullmatch(r"pgchaos [0-9.]+, seed [0-9]+", line)
    assert len(seeds) > 1
    project.look("--collect-only", "--chaos-seed=7").stdout.fnmatch_lines(["pgchaos *, seed 7"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("seed=x", "invalid seed 'x': expected"),
        ("seed=-1", "invalid seed '-1': expected"),
        ("timeout=30", "invalid time '30': expected a number and its unit"),
        ("timeout=25h", "invalid time '25h': expected a time from 1ms to 24h"),
        ("timeout=0s", "invalid time '0s': expected a time from 1ms to 24h"),
        ("timeout=s", "invalid time 's': expected"),
        ("clones=many", "invalid number of databases 'many': expected"),
        ("pg_bindir=/nowhere/bin", "'/nowhere/bin' does not exist"),
        ("pgtap_sql=/nowhere/pgtap.sql", "'/nowhere/pgtap.sql' does not exist"),
        ("pg_bindir=", "the path is empty"),
        ("pgtap_sql= ", "the path is empty"),
        ("report=", "the path is empty"),
        ("json=", "the path is empty"),
        ("trace=", "the path is empty"),
        ("svg=", "the path is empty"),
        ("set=table", "invalid value 'table': expected NAME=VALUE"),
        ("tags=not-good", "invalid value 'not-good': expected a word"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line(project: Project, option: str, message: str) -> None:
    project.write(fine=FINE)
    name, _, value = option.partition("=")
    flag = f"--chaos-{name.replace('_', '-')}"
    by_option = project.pytester.runpytest_inprocess(f"{flag}={value}")
    project.pytester.makeini(INI + f"chaos_{name} = {value}\n")
    by_ini = project.pytester.runpytest_inprocess()
    for result, source in ((by_option, flag), (by_ini, f"ini chaos_{name}")):
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (line,) = (line for line in result.errlines if line)
        assert line.startswith(f"ERROR: {source}: {message}")


@pytest.mark.parametrize(
    ("text", "seconds"), [("5ms", 0.005), ("30s", 30), ("1.5s", 1.5), ("2min", 120), ("24h", 86_400)]
)
def test_times(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)
