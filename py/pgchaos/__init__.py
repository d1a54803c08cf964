"""pgchaos: chaos testing for PostgreSQL, written in SQL."""

__version__ = "0.1.0"
