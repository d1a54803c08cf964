"""Files and processes of an account that is not trusted. Imports nothing that is slow: the supervisor needs it."""
