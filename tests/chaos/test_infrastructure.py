"""The commands, imports and markers that people rely on, and what the plugin costs those who use none of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.projects import INI, Project

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).parents[2]
FIXTURES = (
    "async_conn",
    "async_task_pool",
    "conn_pool",
    "concurrent_executor",
    "db_config",
    "db_connection_string",
    "isolated_schema",
    "pg_sleep_injector",
    "sync_conn",
    "transaction_monitor",
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def pytest_in_root(*args: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "pytest", "-p", "no:cacheprovider", *args)


def test_the_fixtures_can_be_imported_from_the_root() -> None:
    done = run("-W", "error", "-c", f"from tests.chaos.conftest import {', '.join(FIXTURES)}")
    assert (done.returncode, done.stderr) == (0, "")


MARKERS = ("chaos", "slow", "concurrent", "destructive")
COLLECT = f"""
import pytest

class Plugin:
    def pytest_collection_finish(self, session):
        marked = {{marker.name for item in session.items for marker in item.iter_markers()}}
        print("marked", sorted(marked & set({MARKERS!r})))

args = ["tests/chaos/", "--collect-only", "-q", "-p", "no:cacheprovider", "--chaos-dsn=host=/nowhere"]
print("first", int(pytest.main(args, plugins=[Plugin()])))
print("then", int(pytest.main([*args, "-m", "chaos and not slow and not destructive"])))
"""


def test_every_marker_selects_something_and_collecting_needs_no_server() -> None:
    done = run("-c", COLLECT)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("marked ", "first ", "then "))]
    assert lines == [f"marked {sorted(MARKERS)}", "first 0", "then 0"], done.stdout


def test_the_doctest_of_conftest_needs_no_server() -> None:
    done = pytest_in_root("tests/chaos/conftest.py", "--doctest-modules", "-v", "--chaos-dsn=host=/nowhere")
    assert done.returncode == 0, done.stdout
    assert "tests.chaos.conftest PASSED" in done.stdout


def test_the_markers_are_those_that_every_project_has(project: Project) -> None:
    project.write("")
    result = project.pytester.runpytest_inprocess("--markers")
    lines = [f"@pytest.mark.{name}: *" for name in ("chaos", "slow", "concurrent", "destructive")]
    result.stdout.fnmatch_lines_random(lines)


def test_the_fixtures_are_there_in_every_project(project: Project) -> None:
    project.write("")
    result = project.pytester.runpytest_inprocess("--fixtures")
    for name in FIXTURES:
        line = next(
            number for number, line in enumerate(result.outlines) if line.startswith((f"{name} -- ", f"{name} ["))
        )
        assert "pgchaos/pytest_plugin/fixtures/" in result.outlines[line]
        assert result.outlines[line + 1].strip() not in ("", "no docstring available")


MODULES = (
    "psycopg",
    "psycopg_pool",
    "pytest_postgresql",
    "pytest_asyncio",
    "hypothesis",
    "sqlparse",
    "pgchaos.language.model",
    "pgchaos.server.server",
    "pgchaos.engine",
)


def test_a_project_that_uses_nothing_loads_nothing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makepyfile(f"""
        import sys

        def test_it():
            assert [name for name in {MODULES!r} if name in sys.modules] == []
        """)
    result = pytester.runpytest_subprocess("-p", "pgchaos.pytest_plugin.plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


WITHOUT = """
    import sys

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {names!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (["pytest_postgresql"], "*db_config needs pytest-postgresql: pip install pytest-postgresql*"),
        (["psycopg_pool"], "*conn_pool needs psycopg_pool: pip install psycopg-pool*"),
        (["pytest_asyncio"], "*async_conn needs pytest-asyncio, *pip install pytest-asyncio,*"),
    ],
)
def test_what_is_not_installed_is_named_when_it_is_needed(project: Project, names: list[str], output: str) -> None:
    project.pytester.makeini("[pytest]\nfilterwarnings = error\n")
    project.pytester.makepyfile(without=WITHOUT.format(names=names))
    source = f"""
        def test_needs_it({output.split(" ")[0].strip("*")}):
            pass

        def test_does_not():
            pass
    """
    plugins = ("without", "pgchaos.pytest_plugin.plugin")
    result = project.run_apart(source, f"--chaos-dsn={project.foreign.dsn}", plugins=plugins)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([output])


def test_strict_mode_of_pytest_asyncio_will_do(project: Project) -> None:
    project.pytester.makeini(INI.replace("asyncio_mode = auto", "asyncio_mode = strict"))
    result = project.run("""
        import pytest

        @pytest.mark.asyncio
        async def test_it(async_conn):
            assert await (await async_conn.execute("SELECT 1 AS a")).fetchone() == {"a": 1}
        """)
    result.assert_outcomes(passed=1)
