r"""\if … \elif … \else … \endif as in psql's conditional.c and command.c, and psql's booleans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto

_BOOLEANS: Mapping[str, bool] = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}


def parse_boolean(value: str) -> bool | None:
    """Parse a boolean as psql does (ParseVariableBool in variables.c); None if it is not one.

    It is 1, 0, or a prefix of true, false, yes, no, on, off, in upper or lower case, but not the ambiguous `o`.
    """
    word = value.lower()
    if word in ("1", "0"):
        return word == "1"
    for full, is_true in _BOOLEANS.items():
        if full.startswith(word) and len(word) >= (2 if full[0] == "o" else 1):
            return is_true
    return None


class _State(Enum):
    TAKEN = auto()
    WAITING = auto()  # no branch was taken yet
    DONE = auto()  # a branch was taken, or the \if itself is in a branch that is not taken
    ELSE_TAKEN = auto()
    ELSE_DONE = auto()  # in an \else that is not taken


class Branches:
    r"""The \if … \endif that are open at a point of a script.

    A condition is a function, because psql does not evaluate a condition without effect. If it raises, the state stays.
    """

    __slots__ = ("_states",)

    def __init__(self) -> None:
        self._states: tuple[_State, ...] = ()

    def active(self) -> bool:
        """Whether psql runs what follows: outside all branches, or in one that is taken."""
        return not self._states or self._states[-1] in (_State.TAKEN, _State.ELSE_TAKEN)

    def copy(self) -> Branches:
        """Copy the state, so that a retry can return to it."""
        other = Branches()
        other._states = self._states
        return other

    def begin_if(self, condition: Callable[[], bool]) -> None:
        r"""Enter an \if; its condition is evaluated only if psql runs the \if itself."""
        state = _State.DONE
        if self.active():
            state = _State.TAKEN if condition() else _State.WAITING
        self._states += (state,)

    def begin_elif(self, condition: Callable[[], bool]) -> None:
        r"""Enter an \elif, whose condition matters if no branch was taken. ValueError without \if, or after \else."""
        state = self._open("elif")
        if state is _State.TAKEN:
            self._replace(_State.DONE)
        elif state is _State.WAITING and condition():
            self._replace(_State.TAKEN)

    def begin_else(self) -> None:
        r"""Enter an \else. ValueError without an \if, or after another \else."""
        state = self._open("else")
        self._replace(_State.ELSE_TAKEN if state is _State.WAITING else _State.ELSE_DONE)

    def end_if(self) -> None:
        r"""Leave an \if at its \endif. ValueError without an \if."""
        if not self._states:
            raise ValueError(r"\endif: no matching \if")
        self._states = self._states[:-1]

    def _open(self, name: str) -> _State:
        if not self._states:
            raise ValueError(rf"\{name}: no matching \if")
        if self._states[-1] in (_State.ELSE_TAKEN, _State.ELSE_DONE):
            raise ValueError(rf"\{name}: cannot occur after \else")
        return self._states[-1]

    def _replace(self, state: _State) -> None:
        self._states = (*self._states[:-1], state)
