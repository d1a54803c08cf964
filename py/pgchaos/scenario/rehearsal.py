"""Whether a scenario can be run many times in one database, each time in a new schema.

It would be slow to make a database for each interleaving of a search. What `sandbox schema` refuses leaves a schema,
and so the next run could find it; but here the database is the scenario's own, and what matters to neighbours does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pgchaos.scenario.model import Scenario
from pgchaos.scenario.pgtap import own_functions
from pgchaos.scenario.psql import TooLong, render
from pgchaos.scenario.schema_sandbox import refusals

_LOOKS_AROUND = re.compile(
    r"\b(?:pg_(?!sleep|backend_pid|(?:try_)?advisory_|blocking_pids|isolation_)\w+|information_schema)\b|\bchaos\s*\.\s*no_leaks\b",
    re.IGNORECASE,
)
"""What may show the schemas of other runs, which are not gone yet."""


def fits_schema(scenario: Scenario, variables: Mapping[str, str]) -> bool:
    """Say whether nothing of a run stays behind in its database once its schema is dropped, and its sessions reset.

    Decided from the text; what stays where the text does not show it is found by the checks of a run.

    Args:
        scenario: as read, a mutant in it.
        variables: the values of its matrix.
    """
    statements = list(scenario.statements())
    own = own_functions(statements)
    try:
        return not any(
            _LOOKS_AROUND.search(one.text)
            or any(not refusal.neighbours for refusal in refusals(render(one.parts, variables), own))
            for one in statements
        )
    except TooLong:  # the run will tell
        return False
