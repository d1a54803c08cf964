"""Which interleavings and values are run, one after the other; what they come to; what is kept of them."""
