"""Parses `given NAME in …`: the values that are drawn."""

from __future__ import annotations

import re
from datetime import datetime

from pgchaos.language.arguments import Args
from pgchaos.language.header_model import Given

USAGE = (
    "given NAME in 2..20 (or 0.5..2.5, boolean, text 0..20, timestamp '2024-01-01'..'2024-12-31', a, 'b c',"
    " list 0..5 of …)"
)
# a number may end in a dot, so `0..5` is ambiguous: the range is split at the `..` that a number follows
_RANGE = re.compile(r"([+-]?[0-9][0-9.eE+-]*?|)\.\.(?=[+-]?[0-9]|\Z)")
_RANGE_END = re.compile(r"[0-9.eE+-]*")
_LENGTH = re.compile(r"[0-9]{1,6}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,3})?")


def take_given(args: Args, name: str) -> Given:
    """Parse the values of a variable."""
    place = args.place
    word = args.peek()
    if args.accept("boolean"):
        return Given(place, name, "boolean")
    if args.accept("text"):
        return Given(place, name, "text", *_lengths(args))
    if args.accept("list"):
        low, high = _lengths(args)
        args.expect("of")
        if args.peek() == "list":
            raise args.error("a list of lists cannot be drawn")
        return Given(place, name, "list", low, high, element=take_given(args, name))
    if args.accept("timestamp"):
        return Given(place, name, "timestamp", *_timestamps(args))
    if word is not None and ".." in word:
        return _numbers(args, name)
    return Given(place, name, "choice", choices=take_list(args, f"a value of `{name}`"))


def take_list(args: Args, what: str) -> tuple[str, ...]:
    """Take values separated by commas, up to the end of the line."""
    values: dict[str, None] = {}
    while True:
        token = args.take(what)
        if not token.quoted and token.text in (",", "=", "<", ">", "<=", ">="):
            raise args.error(f"{what} is missing before `{token}`")
        if token.text in values:
            raise args.error(f"{what} is written twice: `{token}`")
        values[token.text] = None
        if not args.has_more():
            return tuple(values)
        if not args.accept(","):
            raise args.error(f"a comma is missing before `{args.take()}`, or quotes around a value with a space")


def _numbers(args: Args, name: str) -> Given:
    token = args.take("a range")
    low, high = ("", "") if token.quoted else _range(token.text)
    if _INTEGER.fullmatch(low) and _INTEGER.fullmatch(high):
        ordered, given = int(low) <= int(high), Given(args.place, name, "integer", low, high)
    elif _FLOAT.fullmatch(low) and _FLOAT.fullmatch(high):
        ordered, given = float(low) <= float(high), Given(args.place, name, "float", low, high)
    else:
        raise args.error(f"`{token}` is not a range of numbers such as 2..20 or 0.5..2.5")
    if not ordered:
        raise args.error(f"{low}..{high} is empty: its first number is the greater one")
    return given


def _lengths(args: Args) -> tuple[str | None, str | None]:
    word = args.peek()
    if word is None or ".." not in word:
        return None, None
    token = args.take("a range")
    low, high = _range(token.text)
    if not _LENGTH.fullmatch(low) or not _LENGTH.fullmatch(high):
        raise args.error(f"`{token}` is not a range of lengths such as 0..20")
    if int(low) > int(high):
        raise args.error(f"`{token}` is empty: its first number is the greater one")
    return low, high


def _range(text: str) -> tuple[str, str]:
    """Split a range into its ends; '' for a missing one."""
    found = _RANGE.match(text)
    if found is None or not _RANGE_END.fullmatch(text, found.end()):
        return "", ""
    return found[1], text[found.end() :]


def _timestamps(args: Args) -> tuple[str | None, str | None]:
    if not args.has_more():
        return None, None
    low = args.quoted("the first timestamp")
    args.expect("..")
    high = args.quoted("the last timestamp")
    if _timestamp(args, low) > _timestamp(args, high):
        raise args.error(f"{low}..{high} is empty: its first timestamp is the later one")
    return low, high


def _timestamp(args: Args, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise args.error(f"`{text}` is not a timestamp such as '2024-01-01' or '2024-01-01 12:30:00'") from None
    if time.tzinfo is not None:
        raise args.error(f"`{text}` names a time zone; drawn timestamps have none")
    return time
