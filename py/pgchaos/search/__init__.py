"""Which interleavings and values are run, how their results are merged, and which failures are kept."""
