"""Parses `fault KIND …`: the kind, the target, and when it is delivered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.fault_kinds import KINDS, PROCESSES, is_server_target
from pgchaos.language.network_faults import take_argument, words_of_argument
from pgchaos.language.section_items import Fault

_Moment: TypeAlias = Literal["before", "during", "after"]

USAGE = (
    "fault KIND [of SESSION, server or PROCESS] [before, during or after] [when blocked, after 20ms, on 3rd execution"
    " [of 'UPDATE seat%'] or at any step]"
)
_MOMENTS = ("before", "during", "after")
_PART_BEGINS = frozenset({"of", *_MOMENTS, "when", "on", "at"})
_NTH = re.compile(r"([1-9][0-9]{0,8})(?:st|nd|rd|th)")
_ARGUMENT_NAMES = {"stop": "way to stop", "fill": "thing to fill"}
# words that are not part of the syntax, and the words that were probably meant
_MEANT = {
    "any": "at any step",
    "at": "at any step",
    "if": "when blocked",
    "when": "when blocked",
    "every": "on every execution",
    "each": "on every execution",
    "once": "on 1st execution",
    "first": "on 1st execution",
}


def parse_fault(args: Args) -> Fault:
    """Parse a fault whose condition was already taken."""
    _check_words(args)
    kind = args.choice("kind of fault", KINDS)
    argument = _argument(args, kind)
    target, worker = args.session("the target") if args.accept("of") else (None, None)
    _check_target(args, kind, target)
    written = _moment(args)
    after, nth, blocked, anywhere, statement = None, None, False, False, ""
    while args.has_more():
        if after is None and args.accept("after"):
            after = args.duration("the time after which it is delivered")
        elif not blocked and args.accept("when", "blocked"):
            blocked = True
        elif nth is None and not anywhere and args.accept("at", "any", "step"):
            anywhere = True
        elif nth is None and not anywhere and args.accept("on"):
            nth = _nth(args)
            statement = args.quoted("the pattern of the statement") if args.accept("of") else ""
        else:
            meant = _MEANT.get(args.peek() or "")
            raise args.unexpected(f", did you mean `{meant}`?" if meant else "")
    own = target is None
    own_blocked = blocked and (own or is_server_target(target))
    moment = _effective_moment(args, kind, own, own_blocked, written)
    when = args.when
    return Fault(
        args.place, kind, argument, target, worker, moment, blocked, after, nth, when, anywhere, statement=statement
    )


def _argument(args: Args, kind: str) -> str:
    choices = [form.argument for form in KINDS[kind]]
    if choices == [""]:
        return ""
    if KINDS[kind][0].targets == "a connection":
        return take_argument(args, kind, choices[0])
    name = _ARGUMENT_NAMES[kind]
    if args.peek() in _PART_BEGINS or not args.has_more():
        raise DirectiveError(f"`fault`: the {name} is missing; there are: {', '.join(sorted(choices))}")
    return args.choice(name, choices)


def _check_target(args: Args, kind: str, target: str | None) -> None:
    targets = KINDS[kind][0].targets
    if targets == "the server" and target not in (None, "server"):
        raise args.error(f"`{kind}` affects the whole server, not {_named(target)}")
    if targets == "a backend" and target == "server":
        raise DirectiveError("`fault`: to kill the server as a whole is `fault crash`")
    if targets == "a connection" and target in PROCESSES:
        raise args.error(f"`{kind}` affects connections of sessions, not {_named(target)}")
    if targets == "a session" and is_server_target(target):
        raise args.error(f"`{kind}` affects a session, not {_named(target)}")


def _named(target: str | None) -> str:
    if target == "server":
        return "the server"
    return f"the process `{target}`" if target in PROCESSES else f"the session `{target}`"


def _moment(args: Args) -> _Moment | None:
    if args.accept("before"):
        return "before"
    if args.accept("during"):
        return "during"
    # `after 20ms` is a delay
    if args.peek() == "after" and not (args.peek(1) or "")[:1].isdigit():
        args.take()
        return "after"
    return None


def _effective_moment(args: Args, kind: str, own: bool, own_blocked: bool, written: _Moment | None) -> _Moment:
    """Return the moment, which is `during` if its own session is cancelled or blocked."""
    if kind == "cancel" and own and written not in ("during", None):
        raise args.error(f"there is nothing to cancel {written} a statement: write `during`, or `of` another session")
    if own_blocked and written not in ("during", None):
        raise args.error(f"a session is not blocked {written} its statement: write `during when blocked`")
    return "during" if own_blocked or (kind == "cancel" and own) else written or "before"


def _nth(args: Args) -> int:
    if args.accept("every"):
        args.expect("execution")
        return 0
    token = args.take("which execution")
    found = _NTH.fullmatch(token.text)
    if found is None and token.text in ("each", "any", "all"):
        raise DirectiveError(
            f"`fault`: `{token}` is not an ordinal number such as 1st, 2nd or 3rd, did you mean `every`?"
        )
    if found is None:
        raise args.error(f"`{token}` is not an ordinal number such as 1st, 2nd or 3rd")
    args.expect("execution")
    return int(found[1])


# the order of the words: they are grouped into parts, whose order is compared


class _Part(NamedTuple):
    """Words that belong together, and their meaning."""

    name: Literal["kind", "target", "moment", "time", "blocked", "which"]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)


# parts with a fixed position; the others follow in any order
_POSITIONS = {"kind": 0, "target": 1, "moment": 2}


def _check_words(args: Args) -> None:
    """Require that no part is written twice, and that the parts are in order; the message shows the right order."""
    words = [str(token) for token in args.tokens]
    if not words:
        raise DirectiveError(f"`fault`: the kind is missing; there are: {', '.join(sorted(KINDS))}")
    parts = list(_parts(words))
    seen: dict[str, _Part] = {}
    for part in parts:
        other = seen.setdefault(part.name, part)
        if other is not part:
            twice = f"`{part}` is written twice" if part == other else f"`{other}` and `{part}` exclude each other"
            raise args.error(twice)
    if sum(len(part.words) for part in parts) < len(words):
        return
    ordered = sorted(parts, key=lambda part: _POSITIONS.get(part.name, len(_POSITIONS)))
    if ordered != parts:
        text = " ".join(map(str, ordered))
        # raises if there is another mistake, which is reported instead
        parse_fault(Args("fault", text, args.usage, args.place, args.keywords))
        raise DirectiveError(f"`fault`: its words are in the wrong order, did you mean `fault {text}`?")


def _parts(words: Sequence[str]) -> Iterator[_Part]:
    """Yield the parts that words consist of, up to the first word that belongs to none."""
    at, has_kind = 0, False
    while at < len(words):
        part = None if has_kind else _kind(words[at:])
        has_kind = has_kind or part is not None
        part = part or _part(words[at:])
        if part is None:
            return
        yield part
        at += len(part.words)


def _kind(words: Sequence[str]) -> _Part | None:
    if words[0] not in KINDS:
        return None
    form = KINDS[words[0]][0]
    takes = bool(form.argument) and len(words) > 1 and words[1] not in _PART_BEGINS
    more = words_of_argument(words[1:], form.argument) if takes else 0
    return _Part("kind", tuple(words[: 1 + more]))


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
    if (first, second, third) == ("at", "any", "step"):
        return _Part("which", (first, second, third))
    if first == "on" and third == "execution":
        return _Part("which", tuple(words[: 5 if words[3:4] == ["of"] and "'" in "".join(words[4:5]) else 3]))
    return None
