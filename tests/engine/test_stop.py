"""A stop and those whom it calls."""

from __future__ import annotations

from pgchaos.stop import Stop


def test_who_takes_his_callback_back_is_not_called() -> None:
    stop, called = Stop(), []

    def first() -> None:
        called.append("first")

    def second() -> None:
        called.append("second")

    stop.call(first)
    stop.call(second)
    stop.call_no_more(first)
    stop.call_no_more(first)
    stop.set()
    stop.call_no_more(second)
    assert called == ["second"]
    stop.close()
