"""The cases of Hermitage are run by test_hermitage.py; some of them fail, as they must."""

collect_ignore_glob = ["hermitage/*.sql"]
