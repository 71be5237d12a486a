"""The table of scenarios: each group's, in order."""

from __future__ import annotations

from typing import Final

from model import closed, fills, identity, leases, verbs
from model.scenario import Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = (*fills.SCENARIOS, *leases.SCENARIOS, *verbs.SCENARIOS, *identity.SCENARIOS, *closed.SCENARIOS)
