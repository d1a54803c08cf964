from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.pytest_plugin.collection import ScenarioFile, scenario_file
from tests.pytest_plugin.conftest import BAD, BROKEN, FINE, INI, Project

PGTAP = "SELECT plan(1);\nSELECT pass('plain');\nSELECT * FROM finish();\n"

PYTEST_PGTAP = """\
import pytest

class PgTapItem(pytest.Item):
    def runtest(self): ...

class PgTapFile(pytest.File):
    def collect(self):
        yield PgTapItem.from_parent(self, name="theirs")

def pytest_collect_file(parent, file_path):
    if file_path.suffix == ".sql" and file_path.name.startswith("test"):
        return PgTapFile.from_parent(parent, path=file_path)
"""
"""As pytest-pgtap 0.4.0 collects."""


def test_nothing_of_a_foreign_project_is_collected(project: Project) -> None:
    project.file("migrations/0001.sql", "CREATE TABLE t (plan int); SELECT plan(1);")
    project.file("sql/0002.sql", "-- chaos is what we have here\nDROP TABLE t;")
    project.file("sql/0003.sql", PGTAP)
    project.file("app.spec", "setup { SELECT 1; }")
    project.file("sql/app.spec", "setup { SELECT 1; }")
    for args in ((), (".",), ("sql",), ("migrations",)):
        result = project.look(*args)
        result.assert_outcomes()
        assert project.collected(*args) == [], args


def test_a_scenario_is_collected_below_chaos_paths_or_where_it_is_named(project: Project) -> None:
    # the last one has no directive of its own
    project.write(**{"a": FINE, "deep/b": FINE, "deep/includes": "-- Mine\n\\ir ../../other/c.sql\n"})
    project.file("other/c.sql", FINE)
    found = ["sql/a.sql::a", "sql/deep/b.sql::b", "sql/deep/includes.sql::includes"]
    assert project.collected() == found
    assert project.collected(".") == found
    assert project.collected("other/c.sql") == ["other/c.sql::c"]
    assert project.collected("other/c.sql::c") == ["other/c.sql::c"]
    assert project.collected("other") == ["other/c.sql::c"]
    assert project.collected("--chaos-paths=other") == ["other/c.sql::c"]


def test_chaos_paths_of_the_ini_file(project: Project) -> None:
    project.write(a=FINE)
    project.file("other/c.sql", FINE)
    project.pytester.makeini(INI + "chaos_paths =\n  other\n  sql\n")
    assert project.collected() == ["other/c.sql::c", "sql/a.sql::a"]


def test_testpaths_name_no_folder(project: Project) -> None:
    project.file("tests/data/c.sql", FINE)
    project.pytester.makeini(INI + "testpaths = tests\n")
    assert project.collected() == []


def test_a_pgtap_file_is_collected_only_if_it_is_named(project: Project) -> None:
    project.write(a=PGTAP)
    project.file("other/c.sql", PGTAP)
    project.file("other/d.sql", "DROP TABLE t;")
    assert project.collected() == []
    assert project.collected("sql", "other") == []
    assert project.collected("sql/a.sql") == ["sql/a.sql::a"]
    assert project.collected("--chaos-pgtap") == ["sql/a.sql::a"]
    assert project.collected("--chaos-pgtap", "other") == ["other/c.sql::c"]
    assert project.collected("--chaos-pgtap", "other/d.sql") == ["other/d.sql::d"], "that it prints no TAP is told"


def test_beside_pytest_pgtap_nothing_is_collected_twice(project: Project) -> None:
    project.pytester.makepyfile(pytest_pgtap=PYTEST_PGTAP)
    project.pytester.syspathinsert()
    project.write(test_ours=FINE, test_plain=PGTAP)
    args = ("-p", "pytest_pgtap")
    assert project.collected(*args) == ["sql/test_ours.sql::test_ours", "sql/test_plain.sql::theirs"]
    assert project.collected(*args, "sql/test_plain.sql") == ["sql/test_plain.sql::theirs"]
    assert project.collected(*args, "--chaos-pgtap") == [
        "sql/test_ours.sql::test_ours",
        "sql/test_plain.sql::test_plain",
    ]


def test_a_matrix_makes_items(project: Project) -> None:
    levels = "-- chaos:matrix level in 'read committed', serializable\n-- chaos:matrix rows in 1, 2\n"
    project.write(x=levels + FINE + "\\set used :'level' :rows\n")
    assert project.collected() == [
        "sql/x.sql::x[level=read committed,rows=1]",
        "sql/x.sql::x[level=read committed,rows=2]",
        "sql/x.sql::x[level=serializable,rows=1]",
        "sql/x.sql::x[level=serializable,rows=2]",
    ]
    one = "sql/x.sql::x[level=read committed,rows=2]"
    assert project.collected(one) == [one]


def test_tags_are_markers_and_names_are_keywords(project: Project) -> None:
    project.write(
        quick=FINE, slow="-- chaos:tags slow destructive\n" + BAD, ours="-- chaos:tags nightly concurrent\n" + BAD
    )
    project.pytester.makeini(INI.replace("addopts =", "addopts = --strict-markers") + "chaos_tags = nightly\n")
    project.pytester.makepyfile(test_python="def test_python(): pass")
    for expression, names in {
        "chaos": {"quick", "slow", "ours"},
        "smoke": {"quick"},
        "slow": {"slow"},
        "destructive": {"slow"},
        "chaos and not slow and not destructive": {"quick", "ours"},
        "nightly": {"ours"},
        "concurrent": {"ours"},
        "not chaos": {"test_python"},
    }.items():
        assert {line.rpartition("::")[2] for line in project.collected("-m", expression)} == names, expression
    assert project.collected("-k", "ours") == ["sql/ours.sql::ours"]


def test_the_markers_are_registered(project: Project) -> None:
    project.pytester.makeini(INI + "chaos_tags = nightly\n")
    result = project.look("--markers")
    for name in ("chaos", "slow", "concurrent", "destructive", "smoke", "nightly"):
        result.stdout.fnmatch_lines([f"@pytest.mark.{name}: *"])


def test_a_file_that_is_no_scenario_is_reported_when_collecting(project: Project) -> None:
    project.write(broken=BROKEN, fine=FINE)
    result = project.look("--collect-only", "-q")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["sql/fine.sql::fine", "sql/broken.sql:2: unknown directive `chek`*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_file_that_is_no_scenario_fails_alone(project: Project) -> None:
    project.write(broken=BROKEN, fine=FINE)
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    output = [line for line in result.outlines if line.startswith("sql/broken.sql:")]
    assert len(output) == 1
    assert output[0].startswith("sql/broken.sql:2: unknown directive `chek`")
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(("expression", "collected"), [("smoke", True), ("chaos", True), ("slow", False)])
def test_a_file_that_is_no_scenario_keeps_its_tags(project: Project, expression: str, collected: bool) -> None:
    project.write(broken=BROKEN)
    result = project.run("-m", expression)
    assert result.parseoutcomes().get("failed", 0) == int(collected)


def test_an_unknown_tag_is_reported(project: Project) -> None:
    project.write(x="-- chaos:tags smok\n" + FINE)
    result = project.look("--collect-only")
    result.stdout.fnmatch_lines(["sql/x.sql:1: *smok*smoke*"])


def test_a_file_that_cannot_be_read_is_reported(project: Project) -> None:
    (project.file("sql/x.sql", "")).write_bytes(b"-- chaos:check\nSELECT '\xff';\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["sql/x.sql:*"])


def test_collecting_starts_no_server(project: Project) -> None:
    project.write(fine=FINE)
    for option in ("--collect-only", "--setup-plan", "--setup-only"):
        assert project.look(option).ret == pytest.ExitCode.OK, option
    # but running does
    assert project.look().ret != pytest.ExitCode.OK


def test_no_scenario_starts_no_server(project: Project) -> None:
    project.pytester.makepyfile(test_python="def test_python(): pass")
    project.look().assert_outcomes(passed=1)
    project.write(fine=FINE)
    project.look("-k", "test_python").assert_outcomes(passed=1, deselected=1)


def test_files_that_are_named_are_read_once_each(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a", "b", "c", "d")
    project.write(**dict.fromkeys(names, FINE))
    asked = []

    def asking(path: Path, parent: pytest.Collector, *, others: bool, pytest_pgtap: bool) -> ScenarioFile | None:
        asked.append(path.stem)
        return scenario_file(path, parent, others=others, pytest_pgtap=pytest_pgtap)

    monkeypatch.setattr("pgchaos.pytest_plugin.collection.scenario_file", asking)
    assert project.collected(*(f"sql/{name}.sql" for name in names)) == [f"sql/{name}.sql::{name}" for name in names]
    # pytest asks for all files of the folder again for each that is named
    assert sorted(asked) == sorted(names)


def test_a_file_that_is_named_twice_is_collected_as_any_other(project: Project) -> None:
    project.write(a=FINE, b=FINE)
    assert project.collected("sql/a.sql", "sql/a.sql::a") == ["sql/a.sql::a"]
    twice = ["sql/a.sql::a", "sql/a.sql::a"]
    assert project.collected("--keep-duplicates", "sql/a.sql", "sql/a.sql") == twice


@pytest.mark.parametrize(("encoding", "reason"), [("utf-16", "the file is UTF-16"), ("utf-16-le", "*NUL byte*")])
def test_a_scenario_in_utf_16_is_not_passed_over(project: Project, encoding: str, reason: str) -> None:
    project.write(fine="")
    (project.pytester.path / "sql/fine.sql").write_bytes(FINE.encode(encoding))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"sql/fine.sql:1*{reason}*"])
