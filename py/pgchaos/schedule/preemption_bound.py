"""How many preemptions an interleaving has, or the best of those that equal it. Pure.

Where one of several that equal one another is run, it need not be the one with the fewest preemptions. It is run when
that one's turn has come: so all with few preemptions are covered first, as they are where nothing is left out.
"""

from __future__ import annotations

from pgchaos.schedule.footprint import Dependence, Footprint
from pgchaos.schedule.step_points import Choice
from pgchaos.schedule.wait_rules import Actor

_MOST = 600
"""Sets of steps that are looked at for one interleaving; beyond, what is known by then is taken for a lower bound."""


class Plain:
    """Counts the preemptions of an interleaving as it is."""

    def __init__(self) -> None:
        self._cost = 0
        self._last: Actor | None = None

    def of(self, choice: Choice, other: Actor) -> int:
        """Count them with one more step.

        Args:
            choice: the next.
            other: who goes on.
        """
        return self._cost + (self._last in choice.ready and other != self._last)

    def go_on(self, choice: Choice) -> None:
        """Take the next step.

        Args:
            choice: of it.
        """
        self._cost, self._last = self.of(choice, choice.taken), choice.taken


class PreemptionBound:
    """Counts the preemptions that the best of all equal interleavings has; never too many.

    By dynamic programming over the sets of steps that may have been done, and the one of these that was done last. A
    set is an int, its bits the numbers of steps in the order in which they were taken.

    Args:
        dependence: of the steps.
    """

    def __init__(self, dependence: Dependence) -> None:
        self._dependence = dependence
        self._steps: list[_Step] = []
        self._least: dict[int, dict[int, int]] = {0: {}}
        self._open: _Step | None = None
        self._full = False
        self._floor = 0

    def of(self, choice: Choice, other: Actor) -> int:
        """Count them with one more step.

        Args:
            choice: the next.
            other: who goes on.
        """
        self._settle(choice)
        if self._full:
            return self._floor
        step = self._step(choice, other)
        return min(self._grown(step)[step.bit * 2 - 1].values())

    def go_on(self, choice: Choice) -> None:
        """Take the next step.

        Args:
            choice: of it.
        """
        self._settle(choice)
        self._open = self._step(choice, choice.taken)

    def _step(self, choice: Choice, actor: Actor) -> _Step:
        touched = self._dependence.of(actor, choice.positions[choice.ready.index(actor)])
        return _Step(len(self._steps), actor, touched, choice.waiting)

    def _settle(self, choice: Choice) -> None:
        """Count in the last step: whether it waits, and whether its connection could go on, is known by now."""
        step, self._open = self._open, None
        if step is None or self._full:
            return
        step.pinned |= choice.waiting
        step.goes_on = step.actor in choice.ready
        self._least.update(self._grown(step))
        self._steps.append(step)
        self._floor = min(self._least[step.bit * 2 - 1].values())
        self._full = len(self._least) > _MOST

    def _grown(self, step: _Step) -> dict[int, dict[int, int]]:
        """Give the sets that hold a new step."""
        step.behind = 0
        for one in self._steps:
            if one.before(step):
                step.behind |= one.behind | one.bit
        steps = [*self._steps, step]
        new: dict[int, dict[int, int]] = {}
        # a set comes after those that it holds: they are smaller numbers
        for done in sorted(self._least):
            if done & step.behind != step.behind:
                continue
            # who does not precede the new step may come after it
            lasts = {step.number: _cost(self._least[done], steps, step)}
            for last in self._least[done]:
                less = new.get((done & ~steps[last].bit) | step.bit)
                if less is not None:
                    lasts[last] = _cost(less, steps, steps[last])
            new[done | step.bit] = lasts
        return new


class _Step:
    """One step that was taken: its number, its bit, and those that must come before it."""

    __slots__ = ("actor", "behind", "bit", "goes_on", "number", "pinned", "touched")

    def __init__(self, number: int, actor: Actor, touched: Footprint, pinned: bool) -> None:
        self.number, self.bit, self.behind = number, 1 << number, 0
        self.actor, self.touched, self.pinned = actor, touched, pinned
        self.goes_on = False

    def before(self, later: _Step) -> bool:
        """Say whether a later step depends on this one."""
        if self.actor == later.actor or self.pinned or later.pinned:
            return True
        return not self.touched.independent(later.touched)


def _cost(before: dict[int, int], steps: list[_Step], step: _Step) -> int:
    """Count the preemptions up to a step, which comes behind the best of some.

    One is counted where its connection goes on again: until then it may turn out that it had come to its end.
    """
    earlier = next((one for one in reversed(steps[: step.number]) if one.actor == step.actor), None)
    was_taken = earlier is not None and earlier.goes_on
    return min((cost + (was_taken and earlier is not steps[last]) for last, cost in before.items()), default=0)
