"""Runs jobs on the one server of a run, in order or side by side. Knows no pytest."""
