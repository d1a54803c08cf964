"""Runs isolation specs against a server: all connections of a spec in one thread and one poll loop."""

from pgchaos.engine.specs.run import SpecResult, run_spec
from pgchaos.engine.specs.settings import SpecSettings, step_timeout

__all__ = ["SpecResult", "SpecSettings", "run_spec", "step_timeout"]
