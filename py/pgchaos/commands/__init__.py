"""The program `pgchaos`: one module for each command, imported when it is called."""
