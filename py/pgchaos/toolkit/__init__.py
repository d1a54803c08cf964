"""The SQL that scenarios call: schema chaos, loaded into every database that a run makes."""
