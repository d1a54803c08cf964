"""Fault injection: when a fault strikes, which session or process it strikes, and what it does."""
