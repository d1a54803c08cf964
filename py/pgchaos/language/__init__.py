"""The scenario language: from a SQL file to a Scenario. Knows no database and no pytest."""
