"""pgchaos: chaos testing for PostgreSQL, written in SQL.

PYTEST_DONT_REWRITE: it holds no assertion, and `pgchaos run` has imported it before pytest begins.
"""

__version__ = "0.1.0"
