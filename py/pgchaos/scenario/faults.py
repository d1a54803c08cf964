"""`fault KIND …`: what breaks, of whom, and when."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from pgchaos.faults.kinds import PROCESSES
from pgchaos.scenario.arguments import Args, Wrong
from pgchaos.scenario.condition import When
from pgchaos.scenario.fault_words import WORDS, in_order, meant, twice
from pgchaos.scenario.items import Fault
from pgchaos.scenario.place import Place

USAGE = (
    "fault KIND [of SESSION, server or PROCESS] [before, during or after] [when blocked, after 20ms, on 3rd execution"
    " or at any step] [when NAME = value]"
)
_ARGUMENTS = {
    "cancel": "",
    "terminate": "",
    "kill": "",
    "crash": "",
    "stop": "mode",
    "restart": "",
    "cut": "",
    "reset": "",
    "stall": "time",
    "latency": "time",
    "fill": "what",
    "damage": "relation",
    "promote": "",
}
_OF_SERVER = frozenset({"crash", "stop", "restart", "fill", "damage", "promote"})
Moment: TypeAlias = Literal["before", "during", "after"]
_MODES = ("immediate", "fast", "smart")
_OF_SESSION = frozenset({"cancel", "terminate"})
_FILLS = ("disk", "wal", "connections")
_CHOICES = {"mode": ("the way to stop", _MODES), "what": ("the thing to fill", _FILLS)}
_TARGET = re.compile(r"([^\W\d][\w-]*)(?:\[([1-9][0-9]{0,8})\])?")
_NTH = re.compile(r"([1-9][0-9]{0,8})(?:st|nd|rd|th)")


def take_target(args: Args, what: str) -> tuple[str, int | None]:
    """Take a session, or one connection of it, `SESSION[2]`.

    Args:
        args: the directive's arguments.
        what: the target is, for messages.

    Returns:
        The session's name, and the connection from 1 or None for all.

    Raises:
        Wrong: it is no name.
    """
    token = args.take(what)
    found = None if token.quoted else _TARGET.fullmatch(token.text)
    if found is None:
        raise args.wrong(f"`{token}` is no session; one connection of it is written SESSION[2]")
    return found[1], int(found[2]) if found[2] else None


def fault(args: Args, place: Place, when: When | None) -> Fault:
    """Read a fault.

    Args:
        args: the directive's arguments, without a condition on a matrix.
        place: of the directive.
        when: that condition.

    Returns:
        The fault.

    Raises:
        Wrong: it cannot be understood.
    """
    _check_words(args, place, when)
    kind = args.choice("kind of fault", _ARGUMENTS)
    argument = _argument(args, kind)
    target, worker = take_target(args, "the target") if args.took("of") else (None, None)
    _check_target(args, kind, target)
    written = _moment(args)
    after, nth, blocked, anywhere = None, None, False, False
    while args.more():
        if after is None and args.peek() == "after":
            args.take("")
            after = args.time("the time after which it strikes")
        elif not blocked and args.took("when", "blocked"):
            blocked = True
        elif nth is None and not anywhere and args.took("at", "any", "step"):
            anywhere = True
        elif nth is None and not anywhere and args.took("on"):
            nth = _nth(args)
        else:
            raise _not_understood(args)
    own = target is None or target == "server" or target in PROCESSES
    moment = _moment_meant(args, kind, own and target is None, own and blocked, written)
    return Fault(place, kind, argument, target, worker, moment, blocked, after, nth, when, anywhere)


def _check_words(args: Args, place: Place, when: When | None) -> None:
    """See that the words stand in order, and none too often; say how they are written in order."""
    words = [str(token) for token in args.tokens]
    if not words:
        raise Wrong(f"`fault`: the kind is missing; there are: {', '.join(sorted(_ARGUMENTS))}")
    wrong = twice(words, _ARGUMENTS)
    if wrong:
        raise args.wrong(wrong)
    ordered = in_order(words, _ARGUMENTS)
    if ordered:
        # what else is wrong is told first
        fault(Args("fault", ordered, USAGE), place, when)
        raise Wrong(f"`fault`: its words stand in another order, did you mean `fault {ordered}`?")


def _not_understood(args: Args) -> Wrong:
    token = args.tokens[args.at]
    hint = meant(token.text)
    if hint:
        return args.misspelt() or Wrong(f"`fault`: `{token}` is not understood here{hint}")
    return args.misspelt() or args.wrong(f"`{token}` is not understood here")


def _check_target(args: Args, kind: str, target: str | None) -> None:
    if kind in _OF_SERVER and target not in (None, "server"):
        raise args.wrong(f"`{kind}` strikes the whole server, not {_named(target)}")
    if kind == "kill" and target == "server":
        raise Wrong("`fault`: to kill the server as a whole is `fault crash`")
    if kind in _OF_SESSION and target is not None and (target == "server" or target in PROCESSES):
        raise args.wrong(f"`{kind}` strikes a session, not {_named(target)}")


def _named(target: str | None) -> str:
    if target == "server":
        return "the server"
    return f"the process `{target}`" if target in PROCESSES else f"the session `{target}`"


def _moment_meant(args: Args, kind: str, own: bool, own_blocked: bool, written: Moment | None) -> Moment:
    """Say when a fault strikes: a session is cancelled, or blocked, in a statement of its own only."""
    if written != "during" and kind == "cancel" and own:
        if written is not None:
            raise args.wrong(
                f"there is nothing to cancel {written} a statement: write `during`, or `of` another session"
            )
        return "during"
    if written != "during" and own_blocked:
        if written is not None:
            raise args.wrong(f"a session is not blocked {written} its statement: write `during when blocked`")
        return "during"
    return written or "before"


def _argument(args: Args, kind: str) -> str:
    if _ARGUMENTS[kind] in _CHOICES and (args.peek() in WORDS or not args.more()):
        what, words = _CHOICES[_ARGUMENTS[kind]]
        raise Wrong(f"`fault`: {what} is missing; there are: {', '.join(sorted(words))}")
    if _ARGUMENTS[kind] == "mode":
        return args.choice("way to stop", _MODES)
    if _ARGUMENTS[kind] == "what":
        return args.choice("thing to fill", _FILLS)
    if _ARGUMENTS[kind] == "relation":
        return args.take("the relation").text
    if _ARGUMENTS[kind] == "time":
        token = args.peek()
        args.time(f"the time of `{kind}`")
        return token or ""
    return ""


def _moment(args: Args) -> Moment | None:
    if args.took("before"):
        return "before"
    if args.took("during"):
        return "during"
    following = args.tokens[args.at + 1 : args.at + 2]
    if args.peek() == "after" and not (following and following[0].text[:1].isdigit()):
        args.take("")
        return "after"
    return None


def _nth(args: Args) -> int:
    if args.took("every"):
        args.need("execution")
        return 0
    token = args.take("which execution")
    found = _NTH.fullmatch(token.text)
    if found is None and token.text in ("each", "any", "all"):
        raise Wrong(f"`fault`: `{token}` is no ordinal number such as 1st, 2nd or 3rd, did you mean `every`?")
    if found is None:
        raise args.wrong(f"`{token}` is no ordinal number such as 1st, 2nd or 3rd")
    args.need("execution")
    return int(found[1])
