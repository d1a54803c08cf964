"""Parses TAP as pgTAP prints it: from lines to assertions and problems. It needs no database."""

from pgchaos.tap.failures import diagnostics_of, failure_of, failures_of
from pgchaos.tap.parser import TapParser, TapProblem, TapReport

__all__ = ["TapParser", "TapProblem", "TapReport", "diagnostics_of", "failure_of", "failures_of"]
