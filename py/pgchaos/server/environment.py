"""The environment of the programs that are started."""

from __future__ import annotations

import os


def environment() -> dict[str, str]:
    """Copy the process's environment, for every program that is started.

    Other threads may change it at any time, as pytest does before and after each test. A program that were started
    with the environment itself, and not with a copy, would now and then not start: EFAULT, "Bad address", for the C
    library moves what execve is reading (glibc manual, "Environment Access": setenv is MT-Unsafe).
    """
    values = ((name, os.environ.get(name)) for name in list(os.environ))
    return {name: value for name, value in values if value is not None}
