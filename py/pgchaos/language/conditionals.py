r"""\if … \elif … \else … \endif, as psql's conditional.c and command.c nest them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class _State(Enum):
    TAKEN = "in a branch that is taken, before \\else"
    WAITING = "no branch was taken yet"
    DONE = "a branch was taken, or all of it stands in a branch that is not"
    ELSE_TAKEN = "in an \\else that is taken"
    ELSE_DONE = "in an \\else that is not taken"


_ELSE = (_State.ELSE_TAKEN, _State.ELSE_DONE)


class Branches:
    r"""The \if … \endif that are open at a point of a script.

    A condition is a function, for psql does not evaluate one that cannot matter. What is raised by a condition leaves
    the branches as they were.
    """

    __slots__ = ("_states",)

    def __init__(self) -> None:
        self._states: tuple[_State, ...] = ()

    @property
    def depth(self) -> int:
        r"""How many \if are open."""
        return len(self._states)

    def active(self) -> bool:
        """Say whether what follows is carried out.

        Returns:
            True outside all branches and in one that is taken.
        """
        return not self._states or self._states[-1] in (_State.TAKEN, _State.ELSE_TAKEN)

    def copy(self) -> Branches:
        """Keep the place, so that a retry can go back to it.

        Returns:
            Branches that later calls on these do not change.
        """
        other = Branches()
        other._states = self._states
        return other

    def begin(self, condition: Callable[[], bool]) -> None:
        r"""Pass an \if.

        Args:
            condition: says whether it holds; asked only where the \if itself is carried out.
        """
        state = _State.DONE
        if self.active():
            state = _State.TAKEN if condition() else _State.WAITING
        self._states += (state,)

    def other(self, condition: Callable[[], bool]) -> None:
        r"""Pass an \elif.

        Args:
            condition: says whether it holds; asked only where no branch before it was taken.

        Raises:
            ValueError: no \if is open, or its \else has passed.
        """
        state = self._open("elif")
        if state is _State.TAKEN:
            self._become(_State.DONE)
        elif state is _State.WAITING and condition():
            self._become(_State.TAKEN)

    def otherwise(self) -> None:
        r"""Pass an \else.

        Raises:
            ValueError: no \if is open, or its \else has passed.
        """
        state = self._open("else")
        self._become(_State.ELSE_TAKEN if state is _State.WAITING else _State.ELSE_DONE)

    def end(self) -> None:
        r"""Pass an \endif.

        Raises:
            ValueError: no \if is open.
        """
        if not self._states:
            raise ValueError(r"\endif: no matching \if")
        self._states = self._states[:-1]

    def finish(self) -> None:
        r"""Come to the end of the script.

        Raises:
            ValueError: an \if is open.
        """
        if self._states:
            raise ValueError(r"unterminated \if: its \endif is missing")

    def _open(self, name: str) -> _State:
        if not self._states:
            raise ValueError(rf"\{name}: no matching \if")
        if self._states[-1] in _ELSE:
            raise ValueError(rf"\{name}: cannot occur after \else")
        return self._states[-1]

    def _become(self, state: _State) -> None:
        self._states = (*self._states[:-1], state)
