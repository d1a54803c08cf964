"""Where the plugin keeps what one run of pytest needs, for all its parts."""

from __future__ import annotations

import pytest

from pgchaos.options import Options
from pgchaos.runner import Runner

OPTIONS = pytest.StashKey[Options]()
RUNNER = pytest.StashKey[Runner]()
