"""The fixtures of items are worked out once for a folder: they are those that pytest itself finds for each item."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.conftest import FINE, Project

CONFTEST = """\
import inspect

import pytest


@pytest.fixture(autouse=True)
def everywhere(given):
    pass


@pytest.fixture
def given():
    return 1


def pytest_itemcollected(item):
    shared, own = item._fixtureinfo, item.session._fixturemanager.getfixtureinfo(item, item.obj, None)
    assert shared == own, (item.nodeid, shared, own)
    print(item.nodeid, *item.fixturenames)
    # as some plugins do; no other item may have it
    item.fixturenames.append(f"of {item.name}")
"""
IN_FOLDER = """\
import pytest


@pytest.fixture(autouse=True)
def in_folder():
    pass


@pytest.fixture
def given():
    return 2
"""
HOOK = """\


def register(name, node, **more):
    add = node.session._fixturemanager._register_fixture
    # before 9.1 a fixture belongs to the id of a node
    where = {{"node": node}} if "node" in inspect.signature(add).parameters else {{"nodeid": node.nodeid}}
    add(name=name, func=lambda tmp_path: 1, **where, **more)


def pytest_collectstart(collector):
    if collector.name == "b.sql":
        {}
"""


def fixtures(project: Project) -> dict[str, list[str]]:
    """List the fixtures of each item, by its name."""
    result = project.look("--collect-only", "-q", "sql")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    lines = [line.split() for line in result.outlines if "::" in line and "request" in line]
    return {nodeid.partition("::")[2]: names for nodeid, *names in lines}


def test_each_item_has_the_fixtures_of_its_folder(project: Project) -> None:
    project.file("conftest.py", CONFTEST)
    project.write(a=FINE, b=FINE)
    project.file("sql/deep/conftest.py", IN_FOLDER)
    project.write(**{"deep/c": FINE, "deep/d": FINE})
    found = fixtures(project)
    assert set(found["a"]) == {"everywhere", "given", "request", "subtests"}
    assert found["a"] == found["b"]
    assert set(found["c"]) == {*found["a"], "in_folder"}
    assert found["c"] == found["d"]


@pytest.mark.parametrize(
    "change",
    [
        "collector.add_marker(pytest.mark.usefixtures('tmp_path'))",
        "register('mine', collector, autouse=True)",
        "register('given', collector)",
        "register('given', collector.session)",
    ],
    ids=["marker", "autouse", "replaced", "replaced for all that follow"],
)
def test_a_file_that_differs_has_its_own_fixtures(project: Project, change: str) -> None:
    project.file("conftest.py", CONFTEST + HOOK.format(change))
    project.write(a=FINE, b=FINE, c=FINE)
    found = fixtures(project)
    assert "tmp_path" not in found["a"]
    assert "tmp_path" in found["b"]
