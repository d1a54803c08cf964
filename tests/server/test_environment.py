"""Programs start while another thread changes the environment."""

from __future__ import annotations

import os
import threading

import pytest

from pgchaos.server.supervisor_client import SupervisorClient

_STARTS = 30
"""Without a copy of the environment every seventh did not start."""


def test_supervisors_start_while_the_environment_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGCHAOS_TEST", raising=False)
    over = threading.Event()

    def change() -> None:
        number = 0
        while not over.is_set():
            os.environ["PGCHAOS_TEST"] = "x" * (number % 200)
            del os.environ["PGCHAOS_TEST"]
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(_STARTS):
            SupervisorClient().close()
    finally:
        over.set()
        thread.join()
