"""Scenarios and tests on several versions of PostgreSQL."""
