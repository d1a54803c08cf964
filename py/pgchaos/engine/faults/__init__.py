"""When faults strike, and whom; what they do is in pgchaos.faults."""
