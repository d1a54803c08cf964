"""`python -m pgchaos`: the same program as `pgchaos`."""

from __future__ import annotations

import sys

from pgchaos.commands.program import main

if __name__ == "__main__":
    sys.exit(main())
