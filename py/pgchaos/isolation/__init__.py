"""PostgreSQL's isolation specs (`*.spec`): the language, the order of steps and reports, the output. No database."""
