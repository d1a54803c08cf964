"""`given NAME in …`: what kind of values are drawn."""

from __future__ import annotations

import re
from datetime import datetime

from pgchaos.language.arguments import Args
from pgchaos.language.header_model import Given
from pgchaos.language.problems import Place

USAGE = (
    "given NAME in 2..20 (or 0.5..2.5, boolean, text 0..20, timestamp '2024-01-01'..'2024-12-31', a, 'b c',"
    " list 0..5 of …)"
)
_RANGE = re.compile(r"([+-]?[0-9][0-9.eE+-]*?|)\.\.(?=[+-]?[0-9]|\Z)")
_RANGE_END = re.compile(r"[0-9.eE+-]*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,3})?")


def take_values(args: Args, place: Place, name: str) -> Given:
    """Read what stands behind `in`.

    Args:
        args: the directive's arguments, at the values.
        place: of the directive.
        name: of the variable.

    Returns:
        What to draw.

    Raises:
        Wrong: what stands there is no kind of value.
    """
    word = args.peek()
    if word == "boolean":
        args.take("")
        return Given(place, name, "boolean")
    if word == "text":
        args.take("")
        low, high = _lengths(args)
        return Given(place, name, "text", low, high)
    if word == "list":
        args.take("")
        low, high = _lengths(args)
        args.need("of")
        if args.peek() == "list":
            raise args.wrong("a list of lists cannot be drawn")
        return Given(place, name, "list", low, high, element=take_values(args, place, name))
    if word == "timestamp":
        args.take("")
        low, high = _timestamps(args)
        return Given(place, name, "timestamp", low, high)
    if word is not None and ".." in word:
        return _numbers(args, place, name)
    return Given(place, name, "choice", choices=take_list(args, f"a value of `{name}`"))


def take_list(args: Args, what: str) -> tuple[str, ...]:
    """Take values between commas up to the end of the line.

    Args:
        args: the directive's arguments.
        what: a value is, for messages.

    Returns:
        The values in order.

    Raises:
        Wrong: a comma is missing or too many, or a value is there twice.
    """
    values: dict[str, None] = {}
    while True:
        token = args.take(what)
        if not token.quoted and token.text in (",", "=", "<", ">", "<=", ">="):
            raise args.wrong(f"{what} is missing before `{token}`")
        if token.text in values:
            raise args.wrong(f"{what} is written twice: `{token}`")
        values[token.text] = None
        if not args.more():
            return tuple(values)
        if not args.took(","):
            raise args.wrong(f"a comma is missing before `{args.take('')}`, or quotes around a value with a space")


def _numbers(args: Args, place: Place, name: str) -> Given:
    token = args.take("a range")
    low, high = ("", "") if token.quoted else _range(token.text)
    if _INTEGER.fullmatch(low) and _INTEGER.fullmatch(high):
        return _ordered(args, Given(place, name, "integer", low, high), int(low) <= int(high))
    if _FLOAT.fullmatch(low) and _FLOAT.fullmatch(high):
        return _ordered(args, Given(place, name, "float", low, high), float(low) <= float(high))
    raise args.wrong(f"`{token}` is no range of numbers such as 2..20 or 0.5..2.5")


def _lengths(args: Args) -> tuple[str | None, str | None]:
    word = args.peek()
    if word is None or ".." not in word:
        return None, None
    token = args.take("a range")
    low, high = _range(token.text)
    if not re.fullmatch("[0-9]{1,6}", low) or not re.fullmatch("[0-9]{1,6}", high):
        raise args.wrong(f"`{token}` is no range of lengths such as 0..20")
    if int(low) > int(high):
        raise args.wrong(f"`{token}` is empty: its first number is the greater")
    return low, high


def _range(text: str) -> tuple[str, str]:
    """Part a range into its ends, '' where it has none."""
    found = _RANGE.match(text)
    if found is None or not _RANGE_END.fullmatch(text, found.end()):
        return "", ""
    return found[1], text[found.end() :]


def _timestamps(args: Args) -> tuple[str | None, str | None]:
    if not args.more():
        return None, None
    low = args.quoted("the first timestamp")
    args.need("..")
    high = args.quoted("the last timestamp")
    if _time(args, low) > _time(args, high):
        raise args.wrong(f"{low}..{high} is empty: its first timestamp is the later")
    return low, high


def _time(args: Args, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise args.wrong(f"`{text}` is no timestamp such as '2024-01-01' or '2024-01-01 12:30:00'") from None
    if time.tzinfo is not None:
        raise args.wrong(f"`{text}` names a time zone, and what is drawn has none")
    return time


def _ordered(args: Args, given: Given, ordered: bool) -> Given:
    if not ordered:
        raise args.wrong(f"{given.low}..{given.high} is empty: its first number is the greater")
    return given
