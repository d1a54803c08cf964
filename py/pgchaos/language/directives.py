"""Directives: telling `-- chaos:word …` from a slip of it, and both from prose.

A comment that was clearly meant as a directive, but is not written as one, must not pass in silence: the
scenario would run without it and still be green. Prose that only speaks of chaos must pass.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgchaos.language.suggestions import nearest, unspaced

Where: TypeAlias = Literal["head", "section", "session", "mutant"]

WORDS: dict[str, Where] = {
    "title": "head",
    "tags": "head",
    "timeout": "head",
    "requires": "head",
    "sandbox": "head",
    "server": "head",
    "alone": "head",
    "matrix": "head",
    "given": "head",
    "schedule": "head",
    "oracle": "head",
    "xfail": "head",
    "leaves": "head",
    "setup": "section",
    "teardown": "section",
    "session": "section",
    "invariant": "section",
    "check": "section",
    "state": "section",
    "mutant": "section",
    "step": "session",
    "expect": "session",
    "allow": "session",
    "delay": "session",
    "jitter": "session",
    "barrier": "session",
    "wait": "session",
    "signal": "session",
    "fault": "session",
    "replace": "mutant",
    "caught": "mutant",
}
"""Every directive by its first word, and where it stands."""

_NAME = r"[^\W\d][\w-]*"
_STEP = rf"{_NAME}(?:\[\d+\])?\.[^\s.]+"
_CODES = r"(?:[0-9A-Z]{5}|[a-z]+_[a-z_]+)(?:[ ,]+(?:[0-9A-Z]{5}|[a-z]+_[a-z_]+))*"
_FAULTS = (
    *("cancel", "terminate", "kill", "crash", "stop", "restart"),
    *("cut", "reset", "stall", "latency", "fill", "damage", "promote"),
)
_SHAPES = {
    "tags": r"(?:(?:slow|concurrent|destructive|smoke)\b[ ,]*)+",
    "timeout": r"[\d.]+ ?\w+",
    "requires": r"(?:extension|server|superuser|own server|capability)\b.*",
    "sandbox": r"database|schema|server",
    "server": r"[a-z_.]+ ?= ?\S.*",
    "matrix": r"\w+ in .+",
    "given": r"\w+ in .+",
    "schedule": rf"free|all|all up to \d+|explore \d+(?: with \d+ values)?|{_STEP}(?: {_STEP})*",
    "oracle": r"serializable",
    "xfail": r"'.*' .*",
    "leaves": r"(?:open transaction|prepared transaction|advisory lock|invalid index|object|role|slot)\b.*",
    "session": rf"{_NAME}(?: (?:x \d|repeat (?:\d|while\b)|retry {_CODES}|allow {_CODES}).*)?",
    "invariant": r"(?:(?:every \S+|may be empty|at end) ?)*",
    "step": _NAME,
    "expect": _CODES,
    "allow": _CODES,
    "delay": r"\d\S*",
    "jitter": r"\d\S*",
    "barrier": rf"{_NAME}(?: unless blocked)?",
    "wait": rf"(?:blocked|for) {_NAME}(?:\[\d+\])?",
    "signal": _NAME,
    "fault": rf"(?:{'|'.join(_FAULTS)})\b.*",
    "replace": r"'.*' with '.*' in .*",
    "caught": r"by '.*'",
}
"""What may follow a directive's word: it tells a directive without its colon from prose."""

_EXACT = re.compile(r"-- chaos:(\S*)(?:\s+(.*))?", re.S)
_ALIKE = re.compile(
    r"--([ \t]{0,9})([A-Za-z]{3,8})([ \t]{0,9})([:;]?)([ \t]{0,9})([A-Za-z]+(?:[-_][A-Za-z]+)*)(?![^\s])[ \t]*(.*)",
    re.S,
)
_QUICK = re.compile(r"--[ \t]*[CcKkHhXx][A-Za-z]{2,7}[ \t]*[:; \t]")
_AS_ONE = {"waitfor": ("wait", "for"), "waitblocked": ("wait", "blocked"), "caughtby": ("caught", "by")}
_AS_ONE_LIKE = 0.8
_PREFIX_LIKE = 0.75
_WORD_LIKE = 0.75


@dataclass(frozen=True, slots=True)
class Directive:
    """A comment that is, or was meant as, a directive.

    Args:
        word: its name; of a slip the one that was meant, where that is known; else as written.
        text: what stands behind it.
        slip: what is wrong with the way it is written, or ''.
    """

    word: str
    text: str
    slip: str = ""


@functools.lru_cache(maxsize=512)
def directive(comment: str) -> Directive | None:
    """Say whether a comment is a directive, or was clearly meant as one.

    Args:
        comment: from its `--` to the end of its line.

    Returns:
        The directive; None for a comment that is only a comment.
    """
    found = _EXACT.fullmatch(comment)
    if found is not None:
        word, text = found[1], (found[2] or "").strip()
        return Directive(word, text) if word in WORDS else _unknown(word, text)
    if _QUICK.match(comment) is None:
        return None
    return _slip(comment)


def _unknown(word: str, text: str) -> Directive:
    if not word:
        first, _, rest = text.partition(" ")
        near = nearest(first, WORDS, _WORD_LIKE)
        if near is not None:
            return Directive(near, rest.strip(), _spelling(f"-- chaos: {first}", near))
        return Directive("", text, "a directive's name is missing behind `-- chaos:`")
    if word in _FAULTS:
        return Directive("fault", f"{word} {text}", f"unknown directive `{word}`, did you mean `fault {word}`?")
    two = _two_words(word)
    if two is not None:
        return Directive(two[0], f"{two[1]} {text}", f"unknown directive `{word}`, did you mean `{' '.join(two)}`?")
    near = nearest(word, WORDS)
    if near is None:
        return Directive(word, text, f"unknown directive `{word}`; there are: {', '.join(WORDS)}")
    return Directive(near, text, f"unknown directive `{word}`, did you mean `{near}`?")


def _two_words(word: str) -> tuple[str, str] | None:
    """Find the two words that begin a directive and were written as one, as in `wait-for` and `caughtby`."""
    # beside the directives of one word, so that `caughts` is nearer to `caught`
    near = nearest(unspaced(word), [*WORDS, *_AS_ONE], _AS_ONE_LIKE)
    return _AS_ONE.get(near or "")


def _slip(comment: str) -> Directive | None:
    found = _ALIKE.fullmatch(comment)
    if found is None:
        return None
    before, prefix, gap, colon, space, word, text = found.groups()
    text = text.strip()
    ours = prefix.lower() == "chaos"
    if not ours and nearest(prefix, ("chaos",), _PREFIX_LIKE) is None:
        return None
    attached = colon == ":" and not space and not gap
    written = f"--{before}{prefix}{gap}{colon}{space}{word}"
    two = _two_words(word) if ours and attached else None
    if two is not None:
        return Directive(two[0], f"{two[1]} {text}", _spelling(written, " ".join(two)))
    # our own prefix with its colon is meant as such whatever follows; a word alike must have a directive's name
    near = nearest(word, WORDS, 0.6 if ours and attached else _WORD_LIKE)
    if near is None or (not ours and near != word.lower()):
        slip = f"a directive begins with exactly `-- chaos:`, and `{word}` is none"
        return Directive(word, text, slip) if ours and attached else None
    # what is not written together must look like the directive to its end, else it is prose
    if not (attached or (prefix == "chaos" and colon == ":")) and not (word.lower() == near and _fits(near, text)):
        return None
    return Directive(near, text, _spelling(written, near))


def _fits(word: str, text: str) -> bool:
    return not text or word in ("title", "mutant") or re.fullmatch(_SHAPES.get(word, ""), text) is not None


def _spelling(written: str, word: str) -> str:
    return f"`{written}` is no directive, did you mean `-- chaos:{word}`?"
