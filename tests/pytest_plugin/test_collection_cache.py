"""What collection keeps of the files from one run to the next: used while it is true, and never longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import pgchaos
from pgchaos.language.reader import read
from pgchaos.pytest_plugin.collection_cache import code_files
from pgchaos.pytest_plugin.file_summary import FileSummary
from pgchaos.pytest_plugin.summarize import summarize
from tests.pytest_plugin.conftest import BROKEN, FINE, INI, Project

SQL = Path(__file__).parents[2] / "sql"
SMOKE, SLOW = r"[\"smoke\"]", r"[\"slow\"]"
"""The tags of FINE in what is kept, and others of which the file knows nothing: they show that it was not read."""


def kept(project: Project) -> list[Path]:
    return sorted((project.pytester.path / ".pytest_cache/v/pgchaos").glob("*"))


def falsify(project: Project) -> None:
    """Collect, and change what was kept of it."""
    project.collected()
    for path in kept(project):
        text = path.read_text(encoding="utf-8")
        assert SMOKE in text
        path.write_text(text.replace(SMOKE, SLOW), encoding="utf-8")


def test_a_file_that_did_not_change_is_not_read_again(project: Project) -> None:
    project.write(x=FINE)
    falsify(project)
    for _ in range(2):
        assert project.collected("-m", "slow") == ["sql/x.sql::x"]
    assert project.collected("-m", "slow", "-p", "no:cacheprovider") == []
    assert project.collected("-m", "slow", "--cache-clear") == []


def test_a_file_that_changed_is_read_again_and_its_neighbours_are_not(project: Project) -> None:
    project.write(x=FINE, y=FINE)
    falsify(project)
    before = (project.pytester.path / "sql/x.sql").stat()
    project.write(x=FINE.replace("right", "r1ght"))
    # neither size nor time tells of the change
    os.utime(project.pytester.path / "sql/x.sql", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.collected("-m", "slow") == ["sql/y.sql::y"]
    assert project.collected("-m", "smoke") == ["sql/x.sql::x"]


def test_another_version_reads_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(x=FINE)
    falsify(project)
    monkeypatch.setattr(pgchaos, "__version__", "0.0.1")
    assert project.collected("-m", "slow") == []


@pytest.mark.parametrize("library", ["psycopg", "sqlparse"])
def test_another_version_of_a_library_reads_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    project.write(x=FINE)
    falsify(project)
    monkeypatch.setattr(
        "pgchaos.pytest_plugin.collection_cache.version", lambda name: "0.1" if name == library else version(name)
    )
    assert project.collected("-m", "slow") == []


def test_files_that_did_not_change_need_no_reader(project: Project) -> None:
    project.write(x=FINE)
    says = "print('reader loaded:', 'pgchaos.language.reader' in sys.modules)"
    project.file("conftest.py", f"import sys\n\n\ndef pytest_collection_finish():\n    {says}\n")
    for loaded in (True, False):
        result = project.pytester.runpytest_subprocess("--collect-only", "-q")
        result.stdout.fnmatch_lines([f"reader loaded: {loaded}"])


def test_a_change_of_any_code_that_reads_files_reads_again() -> None:
    program = (
        "import sys, pgchaos.pytest_plugin.collection_cache, pgchaos.pytest_plugin.summarize;"
        "print(*[module.__file__ for name, module in sys.modules.items()"
        " if name.startswith(('pgchaos.language', 'pgchaos.schedule'))], sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {Path(line) for line in done.stdout.splitlines()}
    assert len(loaded) > 10
    assert loaded <= set(code_files())


def test_a_tag_that_was_removed_is_reported(project: Project) -> None:
    project.pytester.makeini(INI + "chaos_tags = nightly\n")
    project.write(x="-- chaos:tags nightly\n" + FINE)
    assert project.collected() == ["sql/x.sql::x"]
    project.pytester.makeini(INI)
    project.look("--collect-only", "-q").stdout.fnmatch_lines(["sql/x.sql:1: *unknown tag `nightly`*"])


def test_a_file_that_includes_another_is_read_each_time(project: Project) -> None:
    project.file("sql/inc/one.psql", "SELECT 1;\n")
    project.write(x="-- chaos:setup\n\\ir inc/one.psql\n" + FINE.replace("-- chaos:tags smoke\n", ""))
    assert project.collected() == ["sql/x.sql::x"]
    project.file("sql/inc/one.psql", "SELECT 'one;\n")
    assert project.collected() == []


@pytest.mark.parametrize("command", [r"\i", r"\include", r"\ir", r"\include_relative"])
def test_a_file_that_included_nothing_yet_is_read_each_time(project: Project, command: str) -> None:
    branch = f"-- chaos:setup\n\\if false\n{command} later.psql\n\\endif\n"
    project.write(x=branch + FINE.replace("-- chaos:tags smoke\n", ""))
    assert project.collected() == ["sql/x.sql::x"]
    project.file("sql/later.psql", "SELECT 'one;\n")
    assert project.collected() == []


def test_a_file_with_an_error_is_reported_in_every_run(project: Project) -> None:
    project.write(broken=BROKEN, fine=FINE)
    for _ in range(3):
        project.look("--collect-only", "-q").stdout.fnmatch_lines(["sql/broken.sql:2: unknown directive `chek`*"])


def test_all_that_is_said_of_a_file_is_kept(project: Project) -> None:
    wait = (
        "-- chaos:session one\nBEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT chaos.delay('1 ms');\nCOMMIT;\n"
        "-- chaos:session two\nSELECT 1;\n"
    )
    matrix = "-- chaos:matrix level in 'a b', \"ü\"\n-- chaos:requires extension nowhere\n"
    mutant = "-- chaos:mutant it's ü\nSELECT 1;\n-- chaos:caught by 'x'\n"
    project.write(x=matrix + FINE + "\\set used :'level'\n" + mutant, y=FINE + wait)
    # both skips and notes; the one server that all tests have is needed for neither to be told of
    results = [project.run("-rs", "--chaos-mutants", "-v") for _ in range(3)]
    wordings = [
        [
            line
            for line in result.outlines
            if line.startswith(("SKIPPED", "note: ", "sql/")) and "makes these sessions meet" not in line  # by chance
        ]
        for result in results
    ]
    assert any(line.startswith("SKIPPED [4] sql/x.sql:2") for line in wordings[0]), wordings[0]
    assert any(line.startswith("note: sql/y.sql:7") for line in wordings[0]), wordings[0]
    assert wordings[0] == wordings[1] == wordings[2]


@pytest.mark.parametrize("path", sorted(SQL.rglob("*.sql")), ids=lambda path: path.stem)
def test_a_summary_is_read_as_it_was_written(path: Path) -> None:
    summary = summarize(read(path))
    assert FileSummary.from_json(json.loads(json.dumps(summary.to_json()))) == summary


def test_a_token_finds_its_scenario_by_what_was_kept(project: Project) -> None:
    project.write(x="-- chaos:matrix level in 1, 2\n" + FINE + "\\set used :level\n", y=FINE)
    items = summarize(read(project.pytester.path / "sql/x.sql")).items
    token = f"{items[1][1][0][1]}-1-"
    for _ in range(2):
        assert project.collected(f"--chaos-replay={token}") == ["sql/x.sql::x[level=2]"]


def test_a_folder_that_cannot_be_written_is_no_warning(project: Project) -> None:
    project.write(x=FINE)
    project.file(".pytest_cache", "no folder")
    for _ in range(2):
        # pytest 9.0 warns of a plugin that this process has imported already
        result = project.look("--collect-only", "-q", "-W", "error", "-W", "ignore:Module already imported")
        assert result.ret == pytest.ExitCode.OK
        result.stdout.no_fnmatch_line("*could not create cache path*")


def test_entries_of_removed_files_are_deleted(project: Project) -> None:
    project.write(x=FINE, gone=FINE)
    project.collected()
    (project.pytester.path / "sql/gone.sql").unlink()
    project.write(new=FINE)
    project.collected("sql/new.sql")
    (path,) = kept(project)
    text = path.read_text(encoding="utf-8")
    assert "new.sql" in text
    assert "x.sql" in text
    assert "gone.sql" not in text


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"by": 1}'])
def test_what_is_broken_is_not_used(project: Project, text: str) -> None:
    project.write(x=FINE)
    project.collected()
    (path,) = kept(project)
    path.write_text(text, encoding="utf-8")
    assert project.collected("-m", "smoke") == ["sql/x.sql::x"]


def test_an_entry_that_is_broken_is_not_used(project: Project) -> None:
    project.write(x=FINE)
    project.collected()
    (path,) = kept(project)
    path.write_text(path.read_text(encoding="utf-8").replace(SMOKE, "["), encoding="utf-8")
    assert project.collected("-m", "smoke") == ["sql/x.sql::x"]


def test_workers_of_xdist_write_and_use_the_cache(project: Project) -> None:
    project.write(x=FINE, y=FINE)
    project.run("-p", "xdist", "-n", "2").assert_outcomes(passed=2)
    assert kept(project)
    falsify(project)
    project.run("-p", "xdist", "-n", "1", "-m", "slow").assert_outcomes(passed=2)


def test_a_mutant_draws_values_where_its_own_sessions_ask_for_them(project: Project) -> None:
    roaming = "-- chaos:session one\n-- chaos:fault terminate at any step\nSELECT 1;\n"
    mutant = "-- chaos:mutant {}\n{}-- chaos:caught by 'x'\n"
    project.write(
        x=FINE + "-- chaos:session one\nSELECT 1;\n" + mutant.format("a", roaming) + mutant.format("b", "SELECT 1;\n")
    )
    summary = summarize(read(project.pytester.path / "sql/x.sql"))
    ((_, names),) = summary.items
    assert [(name, draws) for name, _, draws in names] == [("", False), ("mutant-a", True), ("mutant-b", False)]
    # what is kept of one is not taken for another's
    assert len({of for _, of, _ in names}) == 3
    assert [job.draws for job in summary.jobs(project.pytester.path, "x", mutants=True)] == [False, True, False]
