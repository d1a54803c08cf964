"""Omits interleavings that are equivalent to others: sleep sets, and the preemptions of equivalent ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pgchaos.schedule.footprint import Dependence, Footprint, union
from pgchaos.schedule.step_points import Choice
from pgchaos.schedule.wait_rules import Actor

Asleep = frozenset[Actor]
NONE_ASLEEP: Asleep = frozenset()


class SleepSet:
    """Computes sleep sets: the connections that need not be next, because an equivalent order is run elsewhere.

    Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", LNCS 1032, 1996, chapter 5: after a
    connection was chosen, it sleeps in the alternatives until a step that depends on its own. Of each class of
    equivalent interleavings, one is run.
    """

    def __init__(self, dependence: Dependence) -> None:
        self._dependence = dependence

    def after(self, asleep: Asleep, choice: Choice, *, waiting: bool) -> Asleep:
        """Return the connections that still sleep after a step, of those that slept before it.

        While a session waits, none sleeps: a step that waits may close a cycle, and one that ends a wait has further
        effects.
        """
        if not asleep or waiting or choice.waiting:
            return NONE_ASLEEP
        did = self._next(choice, choice.taken)
        # a sleeping connection that was chosen anyway sleeps no longer
        return frozenset(one for one in asleep if one != choice.taken and did.independent(self._next(choice, one)))

    def is_needless(self, asleep: Asleep, choice: Choice, other: Actor) -> bool:
        """Whether an alternative need not be run, because nothing will wake a connection that sleeps in it."""
        still = self.after(asleep, Choice(choice.ready, other, choice.positions, choice.waiting), waiting=False)
        return any(self._next(choice, one).independent(self._left(choice, other, one)) for one in still)

    def _next(self, choice: Choice, actor: Actor) -> Footprint:
        return self._dependence.of(actor, choice.positions[choice.ready.index(actor)])

    def _left(self, choice: Choice, other: Actor, sleeper: Actor) -> Footprint:
        """Return the footprint of all remaining steps of the other connections."""
        return union(
            self._dependence.rest(one, position, behind=one == other)
            for one, position in zip(choice.ready, choice.positions, strict=True)
            if one != sleeper
        )


def awake(ready: Iterable[Actor], asleep: Asleep) -> tuple[Actor, ...]:
    """Return the connections that do not sleep; all if all sleep."""
    ready = tuple(ready)
    return tuple(one for one in ready if one not in asleep) or ready


_MOST = 600  # sets of steps that are examined for one interleaving; then the lower bound so far is used


class PreemptionCount:
    """Counts the preemptions of an interleaving itself."""

    def __init__(self) -> None:
        self._cost = 0
        self._last: Actor | None = None

    def of(self, choice: Choice, other: Actor) -> int:
        """Count them where a connection takes the next step."""
        return self._cost + (self._last in choice.ready and other != self._last)

    def advance(self, choice: Choice) -> None:
        """Take the next step."""
        self._cost, self._last = self.of(choice, choice.taken), choice.taken


class PreemptionBound:
    """Computes a lower bound of the preemptions of all equivalent interleavings.

    Of several equivalent interleavings, the one that is run may not be the one with the fewest preemptions. It is
    ranked by the fewest, so that the order of the search is as without reduction.

    The bound is computed by dynamic programming over the sets of steps that may have been done, and the last step of
    each. A set is an int whose bits are the numbers of the steps in the order in which they were taken.
    """

    def __init__(self, dependence: Dependence) -> None:
        self._dependence = dependence
        self._steps: list[_Step] = []
        self._least: dict[int, dict[int, int]] = {0: {}}
        self._last: _Step | None = None
        self._full = False
        self._floor = 0

    def of(self, choice: Choice, other: Actor) -> int:
        """Count them where a connection takes the next step."""
        self._add_last(choice)
        if self._full:
            return self._floor
        step = self._step(choice, other)
        return min(self._sets_with(step)[step.bit * 2 - 1].values())

    def advance(self, choice: Choice) -> None:
        """Take the next step."""
        self._add_last(choice)
        self._last = self._step(choice, choice.taken)

    def _step(self, choice: Choice, actor: Actor) -> _Step:
        touched = self._dependence.of(actor, choice.positions[choice.ready.index(actor)])
        return _Step(len(self._steps), actor, touched, choice.waiting)

    def _add_last(self, choice: Choice) -> None:
        """Add the last step: only now is it known whether it waits and whether its connection can continue."""
        step, self._last = self._last, None
        if step is None or self._full:
            return
        step.waits |= choice.waiting
        step.could_go_on = step.actor in choice.ready
        self._least.update(self._sets_with(step))
        self._steps.append(step)
        self._floor = min(self._least[step.bit * 2 - 1].values())
        self._full = len(self._least) > _MOST

    def _sets_with(self, step: _Step) -> dict[int, dict[int, int]]:
        """Return the sets that contain a new step."""
        step.behind = 0
        for one in self._steps:
            if one.before(step):
                step.behind |= one.behind | one.bit
        steps = [*self._steps, step]
        new: dict[int, dict[int, int]] = {}
        # subsets come first, because they are smaller numbers
        for done in sorted(self._least):
            if done & step.behind != step.behind:
                continue
            # a last step that need not precede the new one may also follow it
            lasts = {step.number: _cost(self._least[done], steps, step)}
            for last in self._least[done]:
                less = new.get((done & ~steps[last].bit) | step.bit)
                if less is not None:
                    lasts[last] = _cost(less, steps, steps[last])
            new[done | step.bit] = lasts
        return new


class _Step:
    """A step that was taken: its number, its bit, and the steps that must precede it."""

    __slots__ = ("actor", "behind", "bit", "could_go_on", "number", "touched", "waits")

    def __init__(self, number: int, actor: Actor, touched: Footprint, waits: bool) -> None:
        self.number, self.bit, self.behind = number, 1 << number, 0
        self.actor, self.touched, self.waits = actor, touched, waits
        self.could_go_on = False

    def before(self, later: _Step) -> bool:
        """Whether a later step depends on this one."""
        if self.actor == later.actor or self.waits or later.waits:
            return True
        return not self.touched.independent(later.touched)


def _cost(before: dict[int, int], steps: list[_Step], step: _Step) -> int:
    """Return the fewest preemptions up to a step, over the possible last steps before it.

    A preemption is counted when its connection continues, because until then the connection may turn out to have ended.
    """
    earlier = next((one for one in reversed(steps[: step.number]) if one.actor == step.actor), None)
    was_taken = earlier is not None and earlier.could_go_on
    return min((cost + (was_taken and earlier is not steps[last]) for last, cost in before.items()), default=0)
