r"""Branches of \if, and psql's booleans."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pgchaos.language.conditionals import Branches, parse_boolean


def yes() -> bool:
    return True


def no() -> bool:
    return False


def never() -> bool:
    raise AssertionError("psql does not evaluate this condition")


def test_outside_all_branches_everything_is_carried_out() -> None:
    assert Branches().active()


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        (yes, never, [True, False, False]),
        (no, yes, [False, True, False]),
        (no, no, [False, False, True]),
    ],
)
def test_one_branch_is_taken(first: Callable[[], bool], second: Callable[[], bool], taken: list[bool]) -> None:
    branches = Branches()
    seen = []
    branches.begin_if(first)
    seen.append(branches.active())
    branches.begin_elif(second)
    seen.append(branches.active())
    branches.begin_else()
    seen.append(branches.active())
    branches.end_if()
    assert seen == taken
    assert branches.active()


def test_later_conditions_are_not_asked_once_a_branch_was_taken() -> None:
    branches = Branches()
    branches.begin_if(no)
    branches.begin_elif(yes)
    branches.begin_elif(never)
    assert not branches.active()


def test_nothing_is_asked_or_taken_within_an_untaken_branch() -> None:
    branches = Branches()
    branches.begin_if(no)
    branches.begin_if(never)
    branches.begin_elif(never)
    assert not branches.active()
    branches.begin_else()
    assert not branches.active()
    branches.end_if()
    branches.begin_else()
    assert branches.active()


def test_a_copy_keeps_its_place() -> None:
    branches = Branches()
    branches.begin_if(yes)
    copy = branches.copy()
    branches.end_if()
    branches.begin_if(no)
    assert (copy.active(), branches.active()) == (True, False)


def test_a_condition_that_fails_leaves_the_branches_as_they_were() -> None:
    branches = Branches()
    with pytest.raises(AssertionError):
        branches.begin_if(never)
    with pytest.raises(ValueError, match="no matching"):
        branches.end_if()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda b: b.begin_elif(never), r"\elif: no matching \if"),
        (lambda b: b.begin_else(), r"\else: no matching \if"),
        (lambda b: b.end_if(), r"\endif: no matching \if"),
    ],
)
def test_what_needs_an_if(step: Callable[[Branches], None], message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared below
        step(Branches())
    assert str(raised.value) == message


@pytest.mark.parametrize("condition", [yes, no])
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda b: b.begin_elif(never), r"\elif: cannot occur after \else"),
        (lambda b: b.begin_else(), r"\else: cannot occur after \else"),
    ],
)
def test_what_cannot_follow_else(condition: Callable[[], bool], step: Callable[[Branches], None], message: str) -> None:
    branches = Branches()
    branches.begin_if(condition)
    branches.begin_else()
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared below
        step(branches)
    assert str(raised.value) == message


TRUE = ["1", "t", "tr", "true", "TRUE", "y", "yes", "on", "On"]
FALSE = ["0", "f", "false", "n", "no", "of", "off", "OFF"]
NEITHER = ["", "o", "2", "truely", "-1", "01", " 1", "onn", "null", "yess"]


@pytest.mark.parametrize(
    ("value", "expected"), [*((v, True) for v in TRUE), *((v, False) for v in FALSE), *((v, None) for v in NEITHER)]
)
def test_booleans(value: str, expected: bool | None) -> None:
    assert parse_boolean(value) is expected
