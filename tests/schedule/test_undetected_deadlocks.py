from __future__ import annotations

import pytest

from pgchaos.schedule.wait_rules import is_deadlocked


@pytest.mark.parametrize(
    ("living", "still", "blocked", "wanted"),
    [
        ("ab", "a", {"b": "a"}, True),
        ("b", "a", {"b": "a"}, True),
        ("abc", "a", {"b": "a", "c": "b"}, True),
        ("abc", "ac", {"b": "ac"}, True),
        ("abc", "a", {"b": "a"}, False),
        ("abc", "a", {"b": "a", "c": "a"}, True),
        ("ab", "", {"b": "a"}, False),
        ("ab", "", {"a": "b", "b": "a"}, False),
        ("abc", "c", {"a": "b", "b": "a"}, False),
        ("ab", "a", {"b": [None]}, False),
        ("ab", "a", {"b": ["a", None]}, False),
        ("ab", "ab", {}, False),
        ("", "ab", {}, False),
    ],
)
def test_who_is_stuck(living: str, still: str, blocked: dict[str, list[str | None]], wanted: bool) -> None:
    assert is_deadlocked(living, still, {who: list(by) for who, by in blocked.items()}) is wanted
