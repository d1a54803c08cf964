"""Explains why a scenario's own server, or its pooler, does not start: mostly a parameter of the file. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgchaos.language.header_model import Pooler, ServerSetting
from pgchaos.results import Failure
from pgchaos.server import ServerError

_SAID = re.compile(r"\b(?:LOG|WARNING|ERROR|FATAL|(?P<hint>HINT)):?\s+(?P<words>\S.*)")
_WHERE = re.compile(r' in file ".*" line \d+| in configuration \(.*\)')  # of a temporary file


def parameter_failure(error: ServerError, lines: Sequence[ServerSetting | Pooler]) -> Failure:
    """Make a failure of a server or pooler that did not start, in its own words if it refused a parameter.

    Args:
        error: with the last lines of its log.
        lines: of the file, with the parameters of the server or pooler.
    """
    said = list(_SAID.finditer(str(error)))
    words = [_WHERE.sub("", one["words"]) for one in said if "parameter" in one["words"] and not one["hint"]]
    if not (words and lines):
        return Failure("error", (), str(error), lines[0].place if lines else None)
    named = [one for one in lines if not isinstance(one, Pooler) and one.name.lower() in words[0].lower()]
    hints = [f"HINT: {one['words']}" for one in said if one["hint"]]
    text = f"{words[0]}: correct or remove this line"
    return Failure("error", (), text, (named or lines)[0].place, (*words[1:], *hints))
