"""Which connections need not go on next, for that was or will be run elsewhere: sleep sets. Pure.

Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", LNCS 1032, 1996, chapter 5: where one
connection went on first, it sleeps in the alternatives until somebody does a step that depends on its own. What is
left out equals something that is run; of each class of equal interleavings one is.
"""

from __future__ import annotations

from collections.abc import Iterable

from pgchaos.schedule.footprint import Dependence, Footprint, union
from pgchaos.schedule.step_points import Choice
from pgchaos.schedule.wait_rules import Actor

Asleep = frozenset[Actor]
NOBODY: Asleep = frozenset()


class SleepSet:
    """Knows who goes on sleeping.

    Args:
        dependence: of the steps.
    """

    def __init__(self, dependence: Dependence) -> None:
        self._dependence = dependence

    def after(self, asleep: Asleep, choice: Choice, *, waiting: bool) -> Asleep:
        """Say who still sleeps after a step.

        Args:
            asleep: before it.
            choice: of the step.
            waiting: somebody waits after it.

        Returns:
            Nobody where somebody waits: a step that waits may close a circle, and one that ends a wait does more than
            its own.
        """
        if not asleep or waiting or choice.waiting:
            return NOBODY
        did = self._next(choice, choice.taken)
        # who went on all the same does so no more
        return frozenset(one for one in asleep if one != choice.taken and did.independent(self._next(choice, one)))

    def is_needless(self, asleep: Asleep, choice: Choice, other: Actor) -> bool:
        """Say whether nothing has to be run that begins with an alternative.

        Args:
            asleep: who sleeps before it.
            choice: to which it is one.
            other: who goes on in it.

        Returns:
            True where somebody sleeps in it whom nobody will wake any more.
        """
        still = self.after(asleep, Choice(choice.ready, other, choice.positions, choice.waiting), waiting=False)
        return any(self._next(choice, one).independent(self._left(choice, other, one)) for one in still)

    def _next(self, choice: Choice, actor: Actor) -> Footprint:
        return self._dependence.of(actor, choice.positions[choice.ready.index(actor)])

    def _left(self, choice: Choice, other: Actor, sleeper: Actor) -> Footprint:
        """Tell what everybody but the sleeper may still touch."""
        return union(
            self._dependence.rest(one, position, behind=one == other)
            for one, position in zip(choice.ready, choice.positions, strict=True)
            if one != sleeper
        )


def awake(ready: Iterable[Actor], asleep: Asleep) -> tuple[Actor, ...]:
    """Give those who may go on; all, where all sleep.

    Args:
        ready: who could go on.
        asleep: who need not.
    """
    ready = tuple(ready)
    return tuple(one for one in ready if one not in asleep) or ready
