"""The table of scenarios: each group's, in order."""

from __future__ import annotations

from typing import Final

from model import (
    clears,
    closed,
    fills,
    flights,
    identity,
    leases,
    local,
    nested,
    nodes,
    outbox,
    replay,
    requests,
    soft,
    tags,
    transactions,
    verbs,
)
from model.scenario import Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = (
    *fills.SCENARIOS,
    *leases.SCENARIOS,
    *verbs.SCENARIOS,
    *identity.SCENARIOS,
    *replay.SCENARIOS,
    *closed.SCENARIOS,
    *soft.SCENARIOS,
    *nested.SCENARIOS,
    *requests.SCENARIOS,
    *flights.SCENARIOS,
    *transactions.SCENARIOS,
    *outbox.SCENARIOS,
    *tags.SCENARIOS,
    *clears.SCENARIOS,
    *nodes.SCENARIOS,
    *local.SCENARIOS,
)
