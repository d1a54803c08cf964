"""Recognizes directives among comments: `-- chaos:word …`, misspelt ones too, but not prose.

A comment that was clearly meant as a directive must not be ignored: the scenario would run without it, and pass. Prose
that mentions chaos must be ignored.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from pgchaos.language.directive_table import DIRECTIVES
from pgchaos.language.fault_kinds import KINDS
from pgchaos.language.lexemes import MEANT, OTHER_MARK
from pgchaos.language.suggestions import join_words, nearest

_EXACT = re.compile(r"-- chaos:(\S*)(?:\s+(.*))?", re.S)
_BLOCK = re.compile(re.escape(MEANT) + r"(\S+)[ \t]*([^\n\r]*?)[ \t]*\*/")
_SIMILAR = re.compile(
    r"--(-?[ \t]{0,9})([A-Za-z]{3,8})([ \t]{0,9})([:;=-]?)([ \t]{0,9})([A-Za-z]+(?:[-_][A-Za-z]+)*)(?![^\s])[ \t]*(.*)",
    re.S,
)
# a fast test that excludes most comments
_MAY_BE_SIMILAR = re.compile(r"---?[ \t]*(?:[CcKkHhXx][A-Za-z]{2,7}[ \t]*[:;= \t-]|[Pp][Gg][Cc]haos:)")
# Cyrillic letters that look like those of `chaos` and of directives, and invisible characters
_LOOKS_LIKE = str.maketrans(
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443", "aceopxy", "\u00ad\u200b\u200c\u200d\u2060\ufeff"
)
_JOINED = {word + second: (word, second) for word, row in DIRECTIVES.items() for second in row.second_words}
# the required similarity, as difflib's ratio
_JOINED_LIKE = 0.8
_PREFIX_LIKE = 0.75
_WORD_LIKE = 0.75


@dataclass(frozen=True, slots=True)
class Directive:
    """A comment that is, or was meant as, a directive."""

    word: str  # its name; if it is misspelt, the one that was probably meant
    text: str  # the rest of the line
    mistake: str = ""  # what is wrong with its spelling, or ''


def find_directive(comment: str) -> Directive | None:
    """Recognize a comment that is, or was clearly meant as, a directive; None for any other."""
    found = _EXACT.fullmatch(comment)
    if found is not None:
        word, text = found[1], (found[2] or "").strip()
        return Directive(word, text) if word in DIRECTIVES else _unknown(word, text)
    if comment.startswith(MEANT):
        return _in_block(comment)
    if not comment.startswith("--"):
        return _with_other_mark(comment)
    similar = None if _MAY_BE_SIMILAR.match(comment) is None else _similar(comment)
    return _with_odd_characters(comment) if similar is None and not comment.isascii() else similar


def _in_block(comment: str) -> Directive | None:
    found = _BLOCK.fullmatch(comment)
    if found is None or found[1] not in DIRECTIVES:
        return None
    return Directive(found[1], found[2], _spelling(f"{MEANT}{found[1]} … */", found[1]))


def _with_other_mark(comment: str) -> Directive | None:
    mark = OTHER_MARK.match(comment)
    meant = None if mark is None else find_directive(f"-- chaos:{comment[mark.end() :]}")
    if mark is None or meant is None:
        return None
    mistake = _spelling(comment.split(":")[0] + f":{meant.word}", meant.word) if mark[0].isascii() else ""
    return replace(meant, mistake=mistake or _odd_character(comment, meant.word))


def _with_odd_characters(comment: str) -> Directive | None:
    """Recognize a directive with a character that looks like another, such as a no-break space from a web page."""
    normalized = unicodedata.normalize("NFKC", comment.translate(_LOOKS_LIKE))
    meant = None if normalized == comment else find_directive(normalized)
    if meant is None:
        return None
    return replace(meant, mistake=_odd_character(comment, meant.word))


def _odd_character(comment: str, word: str) -> str:
    at = next(at for at, char in enumerate(comment) if not char.isascii())
    which = f"U+{ord(comment[at]):04X} ({unicodedata.name(comment[at], 'without a name')})"
    return f"character {at + 1} of this directive is {which}: write it anew, `-- chaos:{word}`"


def _unknown(word: str, text: str) -> Directive:
    if not word:
        first, _, rest = text.partition(" ")
        near = nearest(first, DIRECTIVES, _WORD_LIKE)
        if near is not None:
            return Directive(near, rest.strip(), _spelling(f"-- chaos: {first}", near))
        return Directive("", text, "a directive's name is missing behind `-- chaos:`")
    if word in KINDS:
        return Directive("fault", f"{word} {text}", f"unknown directive `{word}`, did you mean `fault {word}`?")
    two = _two_words(word)
    if two is not None:
        return Directive(two[0], f"{two[1]} {text}", f"unknown directive `{word}`, did you mean `{' '.join(two)}`?")
    near = nearest(word, DIRECTIVES)
    if near is None:
        return Directive(word, text, f"unknown directive `{word}`; there are: {', '.join(DIRECTIVES)}")
    return Directive(near, text, f"unknown directive `{word}`, did you mean `{near}`?")


def _two_words(word: str) -> tuple[str, str] | None:
    """Find two words that were written as one, as in `wait-for` and `caughtby`."""
    # directives of one word are compared too: `caughts` is more similar to `caught`
    near = nearest(join_words(word), [*DIRECTIVES, *_JOINED], _JOINED_LIKE)
    return _JOINED.get(near or "")


def _similar(comment: str) -> Directive | None:
    found = _SIMILAR.fullmatch(comment)
    if found is None:
        return None
    before, prefix, gap, colon, space, word, text = found.groups()
    text = text.strip()
    is_chaos = prefix.lower() == "chaos"
    if not is_chaos and nearest(prefix, ("chaos",), _PREFIX_LIKE) is None:
        return None
    attached = colon == ":" and not space and not gap
    written = f"--{before}{prefix}{gap}{colon}{space}{word}"
    two = _two_words(word) if is_chaos and attached else None
    if two is not None:
        return Directive(two[0], f"{two[1]} {text}", _spelling(written, " ".join(two)))
    # after exactly `chaos:` anything is meant as a directive; after a similar prefix only a directive's name is
    near = nearest(word, DIRECTIVES, 0.6 if is_chaos and attached else _WORD_LIKE)
    if near is None or (not is_chaos and near != word.lower()):
        mistake = f"a directive begins with exactly `-- chaos:`, and `{word}` is not one"
        return Directive(word, text, mistake) if is_chaos and attached else None
    # without `:` or with spaces, the rest of the line must have the directive's shape, else it is prose
    together = attached or (prefix == "chaos" and colon == ":")
    if not together and not (word.lower() == near and DIRECTIVES[near].fits(text)):
        return None
    return Directive(near, text, _spelling(written, near))


def _spelling(written: str, word: str) -> str:
    return f"`{written}` is not a directive, did you mean `-- chaos:{word}`?"
