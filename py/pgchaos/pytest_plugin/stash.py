"""Keys of the data that the parts of the plugin share in one run of pytest."""

from __future__ import annotations

import pytest

from pgchaos.runner.options import Options
from pgchaos.runner.runner import Runner

OPTIONS = pytest.StashKey[Options]()
RUNNER = pytest.StashKey[Runner]()
EXPLORED = pytest.StashKey[bool]()  # of a test: a search of chaos_explore failed it
BANNERS = pytest.StashKey[dict[str, str]]()  # of the servers of pytest-xdist's workers, by their names
