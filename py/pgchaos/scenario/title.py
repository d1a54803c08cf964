"""A file's title, where no directive gives one: the first comment line that tells what it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pgchaos.scenario.directives import directive
from pgchaos.scenario.lexemes import Comment

_MODELINE = re.compile(r"(?:vim?|ex|kate|emacs|sqlfluff|noqa|pg_format|sql-?lint)\b\s*:|-\*-|noqa\b|\$Id|<!--", re.I)
_LICENCE = re.compile(r"copyright|spdx-|licen[cs]|all rights reserved|\(c\)\s|©", re.I)
_LICENCE_TEXT = re.compile(
    r"permission is|permission to use|redistribut|warrant|this (?:file|program|software) is", re.I
)
_RULE = re.compile(r"[\W_]*")


def title_of(comments: Iterable[Comment]) -> str:
    """Find the title among a file's comments.

    Args:
        comments: of the file, in order.

    Returns:
        The first comment line that is no directive, modeline, licence or ruled line; '' where there is none.
    """
    skipped = -1
    for comment in comments:
        text = comment.text.lstrip("-").strip()
        line = comment.place.line
        if not comment.alone or _RULE.fullmatch(text) or _MODELINE.match(text) or directive(comment.text):
            continue
        if _LICENCE_TEXT.search(text) or line == skipped + 1:
            # the text of a licence runs on to the end of its block of comments
            skipped = line
            continue
        if not _LICENCE.search(text):
            return text
    return ""
