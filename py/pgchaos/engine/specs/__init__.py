"""Runs isolation specs against a server: all connections of a spec in one thread and one poll loop."""

from pgchaos.engine.specs.run import SpecResult, run_spec
from pgchaos.engine.specs.settings import SpecSettings

__all__ = ["SpecResult", "SpecSettings", "run_spec"]
