"""What others get: the wheel, the Makefile fragment on a small extension (tally/), and the workflow."""
