"""The order of reports, against a world that the test tells: which step is over when, and who is blocked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgchaos.isolation.model import Blocker, PermutationStep, Step
from pgchaos.isolation.permutation import AwaitEvent, AwaitStep, Launch, PermutationOrder, Report, Stalled

A1, A2 = Step("a1", "", 0, 1), Step("a2", "", 0, 2)
B1, B2 = Step("b1", "", 1, 3), Step("b2", "", 1, 4)
C1 = Step("c1", "", 2, 5)


def _played(
    turns: Sequence[PermutationStep],
    freed: Mapping[str, str] | None = None,
    received: Mapping[str, Sequence[int]] | None = None,
) -> list[str]:
    """Play turns.

    Args:
        turns: in order.
        freed: the steps that are blocked, and by whose launch each comes free ('': by none's).
        received: at whose launch which sessions send a notice each.

    Returns:
        What is reported.
    """
    freed = freed or {}
    play, launched, reported = PermutationOrder(tuple(turns)), set[str](), []
    acts = play.acts()
    answer = None
    try:
        while True:
            act = acts.send(answer)  # type: ignore[arg-type]  # as the stage does it
            answer = None
            if isinstance(act, Launch):
                launched.add(act.step.name)
                for session in (received or {}).get(act.step.name, ()):
                    play.add_notice(session)
            elif isinstance(act, AwaitStep):
                answer = freed.get(act.step.name) in (None, *launched) or not act.locks
            elif isinstance(act, Report):
                reported.append(act.step.name + (" waits" if act.waiting else "" if act.first else " completed"))
            elif isinstance(act, AwaitEvent):
                reported.append(f"rest at {act.step.name}")
                if reported.count(reported[-1]) > 2:
                    return reported
            elif isinstance(act, Stalled):
                reported.append("stalled: " + " ".join(step.name for step in act.steps))
    except StopIteration:
        return reported


def test_steps_that_do_not_wait_are_reported_as_they_are_launched() -> None:
    assert _played([PermutationStep(A1), PermutationStep(B1), PermutationStep(A2)]) == ["a1", "b1", "a2"]


def test_a_blocked_step_is_reported_when_another_has_let_it_go() -> None:
    reported = _played(
        [PermutationStep(A1), PermutationStep(B1), PermutationStep(C1), PermutationStep(A2)], {"b1": "a2"}
    )
    assert reported == ["a1", "b1 waits", "c1", "a2", "b1 completed"]


def test_those_who_wait_are_reported_in_the_order_of_their_launch() -> None:
    assert _played(
        [PermutationStep(A1), PermutationStep(C1), PermutationStep(B1), PermutationStep(A2)], {"b1": "a2", "c1": "a2"}
    ) == [
        "a1",
        "c1 waits",
        "b1 waits",
        "a2",
        "c1 completed",
        "b1 completed",
    ]


def test_the_next_step_of_a_blocked_session_waits_until_it_is_free() -> None:
    assert _played([PermutationStep(A1), PermutationStep(B1), PermutationStep(B2)], {"b1": ""}) == [
        "a1",
        "b1 waits",
        "b1 completed",
        "b2",
    ]


def test_a_star_is_reported_as_waiting_whether_it_does_or_not() -> None:
    assert _played([PermutationStep(A1, once=True), PermutationStep(B1)]) == ["a1 waits", "b1", "a1 completed"]
    assert _played([PermutationStep(A1, once=True)]) == ["a1 waits", "a1 completed"]


def test_a_marker_holds_the_report_while_the_other_step_runs() -> None:
    reported = _played(
        [PermutationStep(A1), PermutationStep(B1, blockers=(Blocker(A1),)), PermutationStep(C1)], {"a1": "c1"}
    )
    assert reported == ["a1 waits", "b1 waits", "c1", "a1 completed", "b1 completed"]


def test_a_marker_on_a_step_that_does_not_run_holds_nothing() -> None:
    assert _played([PermutationStep(A1), PermutationStep(B1, blockers=(Blocker(A1),))]) == ["a1", "b1"]


def test_notices_are_counted_from_the_launch_on() -> None:
    turns = [
        PermutationStep(A1),
        PermutationStep(B1, blockers=(Blocker(A2, 2),)),
        PermutationStep(C1),
        PermutationStep(A2),
    ]
    reported = _played(turns, None, {"a1": [0, 0], "c1": [0], "a2": [0]})
    assert reported == ["a1", "b1 waits", "c1", "a2", "b1 completed"]


def test_reports_that_hold_each_other_are_stalled() -> None:
    turns = [PermutationStep(A1, once=True, blockers=(Blocker(B1),)), PermutationStep(B1, blockers=(Blocker(A1),))]
    assert _played(turns) == ["a1 waits", "b1 waits", "stalled: a1 b1"]


def test_a_session_whose_report_is_held_rests_until_there_is_news() -> None:
    reported = _played(
        [PermutationStep(A1), PermutationStep(B1, blockers=(Blocker(A1),)), PermutationStep(B2)], {"a1": ""}
    )
    assert reported[:3] == ["a1 waits", "b1 waits", "rest at b1"]
