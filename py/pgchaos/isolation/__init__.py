"""PostgreSQL's isolation specs, `*.spec`: the language, the order of what is told, the output. Knows no database."""
