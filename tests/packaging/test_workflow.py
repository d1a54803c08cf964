"""The workflow: what it runs is make's, what it uses is pinned. `make check` calls yamllint on it too."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.conftest import ROOT, call

TEXT = (ROOT / ".github/workflows/chaos-tests.yml").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]


def test_every_action_is_pinned_to_a_commit_whose_version_is_said() -> None:
    uses = re.findall(r"uses: (.*)", TEXT)
    assert len(uses) == sum("uses" in step for job in JOBS.values() for step in job["steps"])
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("job", JOBS)
def test_every_command_is_a_target_of_the_makefile(job: str) -> None:
    for command in (step["run"] for step in JOBS[job]["steps"] if "run" in step):
        match = re.fullmatch(r"make (?:--silent )?([\w-]+)(?: >>\"\$GITHUB_STEP_SUMMARY\")?", command)
        assert match, command
        done = call("make", "--dry-run", match[1], cwd=ROOT)
        assert done.returncode == 0, done.stderr


def test_what_must_pass_holds_up_and_what_searches_does_not() -> None:
    smoke, full = JOBS["chaos-smoke"], JOBS["chaos-full"]
    assert "continue-on-error" not in smoke
    assert full["needs"] == "chaos-smoke"
    assert full["continue-on-error"] == "${{ github.event_name != 'schedule' }}"
    assert full["strategy"]["matrix"]["postgresql"] == [15, 16, 17, 18]


@pytest.mark.parametrize("job", ["oldest", "newest"])
def test_the_oldest_and_the_newest_pytest_must_pass(job: str) -> None:
    assert "continue-on-error" not in JOBS[job]
    assert [step["run"] for step in JOBS[job]["steps"] if "run" in step] == [f"make {job}"]
    recipe = call("make", "--dry-run", job, cwd=ROOT).stdout
    assert f"--resolution {'lowest-direct' if job == 'oldest' else 'highest'}" in recipe
    assert re.search(r'/pytest" .* tests;', recipe)


def test_each_python_that_is_promised_is_tried() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert JOBS["newest"]["strategy"]["matrix"]["python"] == promised


GH = """#!/bin/sh
if [ "$2" = list ]; then printf '%s' "$OPEN"; else echo "$@"; fi
"""


@pytest.mark.parametrize(("is_open", "done"), [("", "issue create --title"), ("7", "issue comment 7 --body")])
def test_a_red_weekly_run_opens_one_issue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_open: str, done: str
) -> None:
    job = JOBS["weekly-issue"]
    assert set(job["needs"]) == JOBS.keys() - {"weekly-issue"}
    assert job["if"] == "${{ failure() && github.event_name == 'schedule' }}"
    program = tmp_path / "gh"
    program.write_text(GH, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OPEN", is_open)
    printed = call("make", "weekly-issue", "RUN=https://example.org/runs/1", cwd=ROOT).stdout
    assert printed.startswith(done)
    assert printed.rstrip().endswith("https://example.org/runs/1")
