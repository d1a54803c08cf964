"""`fault KIND …`: what breaks, of whom, and when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.fault_kinds import PROCESSES
from pgchaos.language.header_model import When
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Fault

_MOMENTS = ("before", "during", "after")
WORDS = frozenset({"of", *_MOMENTS, "when", "on", "at"})
"""Words that begin a part of a fault behind its kind."""

_LEADING = {"kind": 0, "target": 1, "moment": 2}
"""Parts whose place is fixed; the others follow in any order."""
_NEAR = {
    "any": "at any step",
    "at": "at any step",
    "if": "when blocked",
    "when": "when blocked",
    "every": "on every execution",
    "each": "on every execution",
    "once": "on 1st execution",
    "first": "on 1st execution",
}


class _Part(NamedTuple):
    """Words that belong together.

    Args:
        name: what they say.
        words: as written.
    """

    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)


def meant(word: str) -> str:
    """Say what was meant by a word that is not understood where it stands: text that begins with its own comma, or ''.

    Args:
        word: as written.
    """
    return f", did you mean `{_NEAR[word]}`?" if word in _NEAR else ""


def twice(words: Sequence[str], kinds: Mapping[str, str]) -> str:
    """Say of the words of a fault which of them exclude each other, or are written twice; '' where none do.

    Args:
        words: as written, behind `fault`.
        kinds: of faults, and what follows each; '' for nothing.
    """
    seen: dict[str, _Part] = {}
    for part in _parts(words, kinds):
        other = seen.setdefault(part.name, part)
        if other is not part:
            return f"`{part}` is written twice" if part == other else f"`{other}` and `{part}` exclude each other"
    return ""


def in_order(words: Sequence[str], kinds: Mapping[str, str]) -> str:
    """Put the words of a fault in order.

    Args:
        words: as written, behind `fault`.
        kinds: of faults, and what follows each; '' for nothing.

    Returns:
        The words in order; '' where they stand in order, or where one of them is none of a fault's.
    """
    parts = list(_parts(words, kinds))
    if sum(len(part.words) for part in parts) < len(words):
        return ""
    ordered = sorted(parts, key=lambda part: _LEADING.get(part.name, len(_LEADING)))
    return "" if ordered == parts else " ".join(map(str, ordered))


def _parts(words: Sequence[str], kinds: Mapping[str, str]) -> Iterator[_Part]:
    """Find the parts that words are made of, up to the first that belongs to none."""
    at, has_kind = 0, False
    while at < len(words):
        part = None if has_kind else _kind(words[at:], kinds)
        has_kind = has_kind or part is not None
        part = part or _part(words[at:])
        if part is None:
            return
        yield part
        at += len(part.words)


def _kind(words: Sequence[str], kinds: Mapping[str, str]) -> _Part | None:
    if words[0] not in kinds:
        return None
    takes = bool(kinds[words[0]]) and len(words) > 1 and words[1] not in WORDS
    return _Part("kind", tuple(words[: 2 if takes else 1]))


def _part(words: Sequence[str]) -> _Part | None:
    first, second, third = (*words[:3], "", "", "")[:3]
    if first == "of" and second:
        return _Part("target", (first, second))
    if first == "after" and second[:1].isdigit():
        return _Part("time", (first, second))
    if first in _MOMENTS:
        return _Part("moment", (first,))
    if (first, second) == ("when", "blocked"):
        return _Part("blocked", (first, second))
    if (first, second, third) == ("at", "any", "step") or (first == "on" and third == "execution"):
        return _Part("which", (first, second, third))
    return None


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
        raise DirectiveError(f"`fault`: the kind is missing; there are: {', '.join(sorted(_ARGUMENTS))}")
    wrong = twice(words, _ARGUMENTS)
    if wrong:
        raise args.wrong(wrong)
    ordered = in_order(words, _ARGUMENTS)
    if ordered:
        # what else is wrong is told first
        fault(Args("fault", ordered, USAGE), place, when)
        raise DirectiveError(f"`fault`: its words stand in another order, did you mean `fault {ordered}`?")


def _not_understood(args: Args) -> DirectiveError:
    token = args.tokens[args.at]
    hint = meant(token.text)
    if hint:
        return args.misspelt() or DirectiveError(f"`fault`: `{token}` is not understood here{hint}")
    return args.misspelt() or args.wrong(f"`{token}` is not understood here")


def _check_target(args: Args, kind: str, target: str | None) -> None:
    if kind in _OF_SERVER and target not in (None, "server"):
        raise args.wrong(f"`{kind}` strikes the whole server, not {_named(target)}")
    if kind == "kill" and target == "server":
        raise DirectiveError("`fault`: to kill the server as a whole is `fault crash`")
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
        raise DirectiveError(f"`fault`: {what} is missing; there are: {', '.join(sorted(words))}")
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
        raise DirectiveError(f"`fault`: `{token}` is no ordinal number such as 1st, 2nd or 3rd, did you mean `every`?")
    if found is None:
        raise args.wrong(f"`{token}` is no ordinal number such as 1st, 2nd or 3rd")
    args.need("execution")
    return int(found[1])
