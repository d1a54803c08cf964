"""Every example of README.md is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos.conftest import __all__ as fixtures
from tests.chaos.projects import Project

pytestmark = pytest.mark.chaos

README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_examples_run_as_they_stand_there(project: Project, request: pytest.FixtureRequest) -> None:
    for number, example in enumerate(EXAMPLES):
        (project.pytester.path / f"test_example_{number}.py").write_text(example, encoding="utf-8")
    bindir = request.config.getoption("chaos_pg_bindir")
    # the mode that a project has which sets none
    result = project.pytester.runpytest_subprocess(
        "--asyncio-mode=strict", "--chaos-extensions=pggit", *([f"--chaos-pg-bindir={bindir}"] if bindir else []), "-rs"
    )
    outcomes = result.parseoutcomes()
    skipped = outcomes.pop("skipped", 0)
    tests = len(re.findall(r"^(?:async )?def test_", "".join(EXAMPLES), re.MULTILINE)) + 2  # three sizes of a pool
    assert outcomes == {"passed": tests - 1 - skipped, "xfailed": 1}
    reason = "requires extension pggit"
    assert skipped == sum(line.startswith("SKIPPED") and reason in line for line in result.outlines)


def test_every_fixture_and_utility_has_an_example() -> None:
    code = "".join(EXAMPLES)
    utilities = (
        "ChaosInjector.random_delay(",
        "ChaosInjector.random_delay_sync(",
        "ChaosInjector.simulate_connection_failure(",
        "ChaosInjector.with_retry(",
        "with_retry(",
        "DatabaseStateSnapshot(",
        "snapshot.capture(",
        "snapshot.compare(",
        "@measure_performance",
    )
    for name in {*fixtures, *utilities} - {"project"}:
        assert name in code, name
    for marker in ("chaos", "slow", "concurrent", "destructive"):
        assert f"| `{marker}` |" in README


def test_every_file_that_is_named_is_there() -> None:
    here = Path(__file__).parent
    named = set(re.findall(r"`(\w+\.py)`", README))
    assert named == {path.name for path in here.glob("*.py")} - {"__init__.py"}
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (here / link).exists(), link
