"""How long will a spec take? Guessed from its text, so that long ones can begin first. Pure."""

from __future__ import annotations

import re

from pgchaos.isolation.model import Spec
from pgchaos.scenario.counting import interleaved

_QUERY = 0.0004
"""Seconds for a query of the kind that specs are made of: what PostgreSQL 15's own took, roughly."""
_CONNECTION = 0.01
_MOST = 10**9
"""Interleavings that are told apart: more are never run to their end."""
_ROW = 3e-6
"""Seconds for a row of the many that a query makes."""
_MANY = re.compile(r"\b\d{4,7}\b")


def effort(spec: Spec) -> float:
    """Guess how long a spec takes.

    Args:
        spec: as it was read.

    Returns:
        Seconds, to be compared with those of other specs.
    """
    steps = [len(session.steps) for session in spec.sessions]
    if spec.written:
        times = len(spec.written)
        launched = sum(map(len, spec.written))
    else:
        times = min(interleaved(steps, _MOST), _MOST)
        launched = times * sum(steps)
    blocks = len(spec.setups) + (spec.teardown is not None)
    blocks += sum((s.setup is not None) + (s.teardown is not None) for s in spec.sessions)
    rows = sum(int(number) for number in set(_MANY.findall("".join(spec.setups))))
    return _CONNECTION * (1 + len(steps)) + _QUERY * (launched + times * blocks) + _ROW * rows * times
