"""What a run says about its prepared data directory: nothing, unless it cannot be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.server.cache_folder import PREPARED
from tests.pytest_plugin.conftest import FINE, Project


def test_the_second_run_uses_what_the_first_one_kept(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREPARED, str(tmp_path / "prepared"))
    project.write(fine=FINE)
    seen = set()
    for _ in range(2):
        result = project.pytester.runpytest_inprocess()
        result.assert_outcomes(passed=1)
        result.stdout.no_fnmatch_line("*prepared*")
        (archive,) = (tmp_path / "prepared").glob("*/archive")
        seen.add((archive.stat().st_ino, archive.stat().st_mtime_ns))
    assert len(seen) == 1


def test_a_run_says_why_it_keeps_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREPARED, "/proc/nowhere")
    project.write(fine=FINE)
    result = project.pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["server: PostgreSQL *, private server*", "no prepared data directory is kept in /proc/nowhere, *"]
    )
