"""Stores tokens that are too long for a command line in files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from pgchaos.pytest_plugin.reports import shown_path
from pgchaos.schedule.token import LONGEST_SHOWN, Token, parse

# The prefix of a file name in place of a token.
MARK = "@"
_FOLDER = "chaos_tokens"


def store_if_long(token: Token, config: pytest.Config) -> Token | Path:
    """Write a long token to a file, and return its path relative to where pytest was called; return a short token."""
    text = str(token)
    if len(text) <= LONGEST_SHOWN:
        return token
    try:
        path = _write(text, f"{token.of}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.token", config)
    except OSError:
        return token
    return Path(shown_path(path, config))


def _write(text: str, name: str, config: pytest.Config) -> Path:
    # with `-p no:cacheprovider` there is no cache
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is not None:
        try:
            path = cache.mkdir(_FOLDER) / name
            path.write_text(f"{text}\n", encoding="ascii")
        except OSError:
            # the project's folder is read-only
            pass
        else:
            return path
    # all users share the temporary folder: the name must not be predictable
    descriptor, found = tempfile.mkstemp(prefix="pgchaos-", suffix=f"-{name}")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
    return Path(found)


def read_token(text: str, folder: Path) -> Token:
    """Parse a token, or read it from a file after `@`, relative to a folder; ValueError if it is not a token."""
    if not text.startswith(MARK):
        return parse(text)
    path = folder / Path(text.removeprefix(MARK)).expanduser()
    try:
        content = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ValueError(f"the file of the token cannot be read: '{path}': {error.strerror}") from None
    try:
        return parse(content)
    except ValueError as error:
        raise ValueError(f"file '{path}': {error}") from None
