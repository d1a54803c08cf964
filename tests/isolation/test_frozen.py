"""A server that answers nothing any more: a spec ends soon after the time of its file, or of a step, is over."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pgchaos.engine import connection
from pgchaos.engine.specs import SpecSettings, run_spec
from pgchaos.isolation.grammar import read
from pgchaos.server import ServerSettings, open_server
from tests.freezing import SLEEP, freezing

pytestmark = pytest.mark.slow  # each case waits for a limit of 4 s, twice

_LIMIT = 4.0
_SPEC = """setup {{ CREATE TABLE t (id int); INSERT INTO t VALUES (1); }}
teardown {{ DROP TABLE t; }}
session a
setup {{ BEGIN; UPDATE t SET id = 2; {setup} }}
step as {{ {step} }}
session b
step bu {{ UPDATE t SET id = 3; }}
permutation bu as
permutation as bu
permutation as
"""


CASES = {
    "server, file": ("step", True, SpecSettings(limit=_LIMIT), "its time is over", 2),
    "server, setup": ("setup", True, SpecSettings(step_timeout=_LIMIT), "the server does not answer", 2),
    "server, step": ("step", True, SpecSettings(step_timeout=_LIMIT), "the server does not answer", 2),
    "backend, setup": ("setup", False, SpecSettings(step_timeout=_LIMIT), "its backend does not answer", 2),
    "backend, step": ("step", False, SpecSettings(step_timeout=_LIMIT), "its backend does not answer", 3),
}


@pytest.mark.parametrize("whole", [True, False], ids=["server", "backend"])
def test_a_spec_on_a_frozen_server_ends_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    if whole:
        # each of them sets it so, and the last one to end would not put back what was there first
        monkeypatch.setattr(connection, "_ANSWER_TO_CANCEL", 0.5)
    # they wait for their limits side by side, each on a server of its own
    cases = [name for name, case in CASES.items() if case[1] is whole]
    with ThreadPoolExecutor(len(cases)) as threads:
        for ended in [threads.submit(_ends_soon, tmp_path, name) for name in cases]:
            ended.result()


def _ends_soon(folder: Path, name: str) -> None:
    phase, whole, settings, reported, times = CASES[name]
    path = folder / f"{name}.spec"
    path.write_text(_SPEC.format(**{"setup": "", "step": "SELECT 1;", phase: SLEEP}))
    with open_server(ServerSettings()) as own:
        with freezing(own, whole=whole) as when:
            result = run_spec(read(path), own, settings)
            ended = time.monotonic()
        assert reported in result.problems[-1], name
        assert len(result.problems) == 1, "no other permutation is begun"
        # twice its time, and some for a busy machine; each further permutation would take as long again
        assert ended - when[0] < times * _LIMIT + 10, name
