"""No thread but the main one is the first to import anything: another would see the module half made."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pgchaos
from tests.often import OFTEN, often
from tests.pytest_plugin.conftest import Project

HERE = Path(__file__).parent
SESSIONS = "-- chaos:session one\nINSERT INTO t VALUES (1);\n-- chaos:session two\nINSERT INTO t VALUES (2);\n"
CHECK = "-- chaos:check\nSELECT is(count(*), {}::bigint, 'rows') FROM t;\n"
SCENARIO = "{}-- chaos:setup\nCREATE TABLE t (a int);\n" + SESSIONS + CHECK.format(2)
FAULT = "-- chaos:session one allow connection_failure admin_shutdown\n-- chaos:fault terminate {}\nSELECT 1;\n"
PROGRAM = (
    f"{{}}-- chaos:session one run '{sys.executable} -c "
    '"import psycopg; psycopg.connect().execute(\\"{}\\")"\'\n-- chaos:check\nSELECT ok(true);\n'
)
SPEC = """\
setup { CREATE TABLE t (a int); }
teardown { DROP TABLE t; }
session one
step s1 { INSERT INTO t VALUES (1); }
session two
step s2 { SELECT * FROM t; }
"""
PRINTED = """\
Parsed test spec with 2 sessions

starting permutation: s1 s2
"""


def everything(project: Project) -> None:
    """Write a scenario, or more, of each kind: those that are alike meet in what they load."""
    heads = {
        "free": "",
        "explore": "-- chaos:schedule explore 4\n",
        "all": "-- chaos:schedule all\n",
        "given": "-- chaos:given amount in 1..3\n-- chaos:teardown\nSELECT :amount;\n",
        "drawn": "-- chaos:schedule explore 4\n-- chaos:given amount in 1..3\n-- chaos:teardown\nSELECT :amount;\n",
        "oracle": "-- chaos:oracle serializable\n",
        "exact": "-- chaos:schedule one.1 two.1\n",
        "schema": "-- chaos:sandbox schema\n",
        "amcheck": "-- chaos:tags corruption\n",
        "extension": "-- chaos:requires extension hstore\n",
        "server": "-- chaos:sandbox server\n",
    }
    for name, head in heads.items():
        # one of each two has something to report
        fails = SCENARIO.format(head).replace("is(count(*), 2", "is(count(*), 3")
        project.write(**{name: SCENARIO.format(head), f"{name}_fails": fails})
    project.write(
        fault=FAULT.format("before") + "-- chaos:check\nSELECT ok(true);\n",
        roaming=FAULT.format("at any step") + "-- chaos:check\nSELECT ok(true);\n",
        retried=(
            "-- chaos:session one retry serialization_failure, unknown\nSELECT 1;\n-- chaos:check\nSELECT ok(true);\n"
        ),
        error="-- chaos:session one\nSELECT 1 / 0;\n-- chaos:check\nSELECT ok(true);\n",
        invariant="-- chaos:invariant\nSELECT true AS fine;\n-- chaos:session one\nSELECT 1;\n",
        late="-- chaos:timeout 200ms\n-- chaos:session one\nSELECT pg_sleep(60);\n-- chaos:check\nSELECT ok(true);\n",
        crash=(
            "-- chaos:sandbox server\n-- chaos:session one retry unknown, connection_failure\n"
            "-- chaos:fault crash before\nSELECT 1;\n-- chaos:check\nSELECT ok(true);\n"
        ),
        program=PROGRAM.format("-- chaos:schedule explore 2\n", "SELECT 1"),
        program_fails=PROGRAM.format("", "SELECT 1 / 0"),
        changed=SCENARIO.format("").replace("CREATE TABLE t (a int)", "CREATE TABLE t AS SELECT 1.5::numeric AS a"),
    )
    specs(project)


def specs(project: Project) -> None:
    """Write two isolation specs."""
    for name in ("spec_one", "spec_two"):
        project.file(f"sql/{name}.spec", SPEC)
        project.file(f"expected/{name}.out", PRINTED)


@pytest.mark.slow  # runs all kinds of scenarios; where tests run often, compiled anew
@pytest.mark.parametrize(("jobs", "hidden"), often([("8", False)], [("1", True), ("8", False)]))
def test_nothing_is_imported_outside_the_main_thread(
    project: Project, monkeypatch: pytest.MonkeyPatch, jobs: str, hidden: bool
) -> None:
    everything(project)
    folders = [str(HERE)]
    if hidden:
        project.file("hidden/hypothesis/__init__.py", "raise ModuleNotFoundError('hidden', name='hypothesis')\n")
        folders.insert(0, str(project.pytester.path / "hidden"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    if not hidden and OFTEN:
        # nothing of it was compiled before: an import takes its time, as on a machine that has just been set up
        monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(project.pytester.path / "cold"))
    args = ["-p", "watch_imports", f"--chaos-jobs={jobs}", "--chaos-pgtap", "--chaos-mutants", "--chaos-selfcheck"]
    result = project.pytester.runpytest_subprocess(f"--chaos-dsn={project.connect()}", *args)
    result.stdout.fnmatch_lines(["imports in threads: 0", "loaded for files that nobody asked for: 0"])


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_specs_alone_import_nothing_outside_the_main_thread(
    project: Project, monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    """They load less than scenarios do; these fail, for what reports that is loaded too."""
    specs(project)
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    args = ["-p", "watch_imports", f"--chaos-jobs={jobs}", "--chaos-pgtap"]
    result = project.pytester.runpytest_subprocess(f"--chaos-dsn={project.connect()}", *args)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["imports in threads: 0"])


def test_a_project_without_scenarios_loads_no_more_than_the_options_need(project: Project) -> None:
    project.file("test_it.py", "def test_it():\n    pass\n")
    project.file("conftest.py", "import sys\n\ndef pytest_unconfigure():\n    print('loaded', *sorted(sys.modules))\n")
    loaded = project.pytester.runpytest_subprocess().stdout.str().rpartition("loaded ")[2].split()
    assert "pgchaos.pytest_plugin.options" in loaded
    assert not {"psycopg", "psutil", "hypothesis", "pgchaos.results", "pgchaos.language.model"}.intersection(loaded)
    assert not [name for name in loaded if name.startswith(("pgchaos.engine", "pgchaos.search", "pgchaos.schedule"))]


def run_while_sessions_run() -> list[Path]:
    """List the modules whose functions other threads may call."""
    root = Path(pgchaos.__file__).parent
    folders = ("engine", "isolation", "language", "oracle", "schedule", "search", "server", "tap")
    files = [file for folder in folders for file in (root / folder).rglob("*.py")]
    # run as programs, in the main thread of a process of their own
    programs = ("supervisor.py", "get_server.py", "get_pgtap.py", "download.py")
    return [root / "runner" / f"{name}.py" for name in ("jobs", "runner", "specs")] + [
        file for file in files if file.name not in programs
    ]


def imports_at_call(tree: ast.AST) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module
                elif isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)


def test_all_that_functions_import_is_imported_before() -> None:
    needed = {name for file in run_while_sessions_run() for name in imports_at_call(ast.parse(file.read_bytes()))}
    assert len(needed) > 10
    job = "Job(Path(), '', parts=get_args(Part))"
    program = (
        "import sys; from pathlib import Path; from typing import get_args;"
        "from pgchaos.runner.jobs import Job, Part; from pgchaos.runner.preload import preload;"
        f"preload([]); before = set(sys.modules); preload([{job}]);"
        "print('pgchaos.engine.run' in before); print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, *loaded = done.stdout.splitlines()
    assert before == "False", "without a scenario nothing is loaded"
    assert sorted(needed - set(loaded)) == []
