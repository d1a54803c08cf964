"""Processes of a server that faults strike, which may be only just starting."""

from __future__ import annotations

from typing import cast

import pytest

from pgchaos.faults.carrying import Missed, Row, process
from pgchaos.server import PrivateServer


class Starting:
    """A server that shows a process from the third look on.

    Args:
        autovacuum: is on.
    """

    power = cast("PrivateServer", object())

    def __init__(self, *, autovacuum: bool = True) -> None:
        self.looks, self._autovacuum = 0, autovacuum

    def ask(self, query: str) -> list[Row] | None:
        if "current_setting" in query:
            return [] if self._autovacuum else [()]
        self.looks += 1
        return [("7",)] if self.looks > 2 else []

    def refused(self) -> bool:
        return False

    def take_connections(self) -> None:
        raise NotImplementedError


def test_a_process_that_does_not_show_yet_is_waited_for() -> None:
    assert process(Starting(), "autovacuum") == 7


def test_a_process_that_will_not_come_is_not() -> None:
    server = Starting(autovacuum=False)
    with pytest.raises(Missed, match="no autovacuum launcher"):
        process(server, "autovacuum")
    assert server.looks == 1
