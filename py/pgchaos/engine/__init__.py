"""Real sessions on a real server: links, players, waits, invariants, checks, leaks. Knows no pytest."""

from pgchaos.engine.search.pinned import pinned
from pgchaos.engine.search.runs import run
from pgchaos.engine.settings import Replay, Settings
from pgchaos.engine.stop import Stop

__all__ = ["Replay", "Settings", "Stop", "pinned", "run"]
