"""The pytest plugin: options, collection, items, fixtures. Everything that knows pytest is here."""
