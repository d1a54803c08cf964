"""Runs jobs on the one server of a run, in order or in parallel. Does not know pytest."""
