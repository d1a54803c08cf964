"""What the oracle must know of a run, and its judgement; the decisions themselves are in pgchaos.oracle."""
