"""Makes Python's garbage collector look less often at what lives to the end of the run: modules and items.

While items are collected and modules imported, the number of objects grows, and the collector looks at all of them
again and again, though hardly any can be removed. That is 6 % of the processor time of a run of 200 small files.
"""

from __future__ import annotations

import gc

import pytest

_THRESHOLD = 50_000  # new objects between two looks; Python's own threshold is 700 or 2000
_BEFORE = pytest.StashKey[tuple[int, int, int]]()


def collect_less_often(config: pytest.Config) -> None:
    """Raise the threshold of the garbage collector, unless it is off, until the end of the run at the latest."""
    before = gc.get_threshold()
    if 0 < before[0] < _THRESHOLD:
        config.stash[_BEFORE] = before
        gc.set_threshold(_THRESHOLD, *before[1:])
        config.add_cleanup(lambda: _restore(config))


def collect_as_before(config: pytest.Config, *, without_present: bool) -> None:
    """Restore the threshold before the items run.

    Args:
        config: of the run.
        without_present: exclude the present objects from further looks, until the end of the run.
    """
    if without_present and _BEFORE in config.stash:
        gc.freeze()
        config.add_cleanup(gc.unfreeze)
    _restore(config)


def _restore(config: pytest.Config) -> None:
    before = config.stash.get(_BEFORE, None)
    # code of the project may have set another one since
    if before is not None and gc.get_threshold() == (_THRESHOLD, *before[1:]):
        gc.set_threshold(*before)
