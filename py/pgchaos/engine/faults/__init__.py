"""Fault injection: when a fault is delivered, which session or process it affects, and what it does."""
