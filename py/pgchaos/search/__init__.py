"""Chooses which interleavings and values are run, joins their results, and stores failures."""
