"""Tokens in files: one that is too long for a command line that a person copies."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from pgchaos.schedule.token import Token, parse

LONGEST = 200
"""Characters of a token that is printed; a longer one is written to a file."""
MARK = "@"
"""What the name of a file begins with where a token is expected."""
_FOLDER = "chaos_tokens"


def stored(token: Token, config: pytest.Config) -> Token | Path:
    """Write a token to a file, if it is long."""
    text = str(token)
    if len(text) <= LONGEST:
        return token
    try:
        path = _written(text, f"{token.of}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.token", config)
    except OSError:
        return token
    return Path(str(path).removeprefix(os.path.join(config.invocation_params.dir, "")))  # noqa: PTH118 a Path would drop the slash at the end


def _written(text: str, name: str, config: pytest.Config) -> Path:
    # with `-p no:cacheprovider` there is no cache
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is not None:
        try:
            path = cache.mkdir(_FOLDER) / name
            path.write_text(f"{text}\n", encoding="ascii")
        except OSError:
            # the project cannot be written to
            pass
        else:
            return path
    # a name that nobody can foresee: the folder may be everybody's
    number, found = tempfile.mkstemp(prefix="pgchaos-", suffix=f"-{name}")
    with os.fdopen(number, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
    return Path(found)


def read_token(text: str, folder: Path) -> Token:
    """Read a token, or the file that is named in its place."""
    if not text.startswith(MARK):
        return parse(text)
    path = folder / Path(text.removeprefix(MARK)).expanduser()
    try:
        said = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ValueError(f"the file of the token cannot be read: '{path}': {error.strerror}") from None
    try:
        return parse(said)
    except ValueError as error:
        raise ValueError(f"file '{path}': {error}") from None
