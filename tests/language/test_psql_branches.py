from __future__ import annotations

from collections.abc import Callable

import pytest

from pgchaos.language.conditionals import Branches


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
    branches.begin(first)
    seen.append(branches.active())
    branches.other(second)
    seen.append(branches.active())
    branches.otherwise()
    seen.append(branches.active())
    branches.end()
    assert seen == taken
    assert branches.active()


def test_later_conditions_are_not_asked_once_a_branch_was_taken() -> None:
    branches = Branches()
    branches.begin(no)
    branches.other(yes)
    branches.other(never)
    assert not branches.active()


def test_nothing_is_asked_or_taken_within_an_untaken_branch() -> None:
    branches = Branches()
    branches.begin(no)
    branches.begin(never)
    branches.other(never)
    assert not branches.active()
    branches.otherwise()
    assert not branches.active()
    branches.end()
    branches.otherwise()
    assert branches.active()


def test_a_copy_keeps_its_place() -> None:
    branches = Branches()
    branches.begin(yes)
    kept = branches.copy()
    branches.end()
    branches.begin(no)
    assert (kept.active(), branches.active()) == (True, False)
    assert (kept.depth, branches.depth) == (1, 1)


def test_a_condition_that_fails_leaves_the_branches_as_they_were() -> None:
    branches = Branches()
    with pytest.raises(AssertionError):
        branches.begin(never)
    assert branches.depth == 0


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda b: b.other(never), r"\elif: no matching \if"),
        (lambda b: b.otherwise(), r"\else: no matching \if"),
        (lambda b: b.end(), r"\endif: no matching \if"),
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
        (lambda b: b.other(never), r"\elif: cannot occur after \else"),
        (lambda b: b.otherwise(), r"\else: cannot occur after \else"),
        (lambda b: b.finish(), r"unterminated \if: its \endif is missing"),
    ],
)
def test_what_cannot_follow_else(condition: Callable[[], bool], step: Callable[[Branches], None], message: str) -> None:
    branches = Branches()
    branches.begin(condition)
    branches.otherwise()
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared below
        step(branches)
    assert str(raised.value) == message


def test_the_end_is_no_error_when_all_are_closed() -> None:
    branches = Branches()
    branches.begin(yes)
    branches.end()
    branches.finish()
