"""The planted races are run by the tests here, each as it should fail, and are no scenarios of their own."""

collect_ignore_glob = ["races/*.sql"]
