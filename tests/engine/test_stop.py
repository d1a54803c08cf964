"""A stop and its callbacks."""

from __future__ import annotations

from pgchaos.stop import Stop


def test_who_takes_his_callback_back_is_not_called() -> None:
    stop, called = Stop(), []

    def first() -> None:
        called.append("first")

    def second() -> None:
        called.append("second")

    stop.add_callback(first)
    stop.add_callback(second)
    stop.remove_callback(first)
    stop.remove_callback(first)
    stop.set()
    stop.remove_callback(second)
    assert called == ["second"]
    stop.close()
