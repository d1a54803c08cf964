"""Real sessions on a real server: links, players, waits, invariants, checks, leaks. Knows no pytest."""

from pgchaos.engine.run import run
from pgchaos.engine.settings import Settings

__all__ = ["Settings", "run"]
