"""The short run: every phase on real servers for some seconds, and nothing in it breaks the promise.

Each kind of server and each of database has its turn. `make soak` is the long run.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from grounds import DATABASES, PROGRAMS, Unwatched, database_of
from servers import require

from unstale.tools.chaos.course import run_phase
from unstale.tools.chaos.faults import FAULTS
from unstale.tools.chaos.phases import PHASES
from unstale.tools.chaos.plan import Phase, Plan

pytestmark = pytest.mark.usefixtures("untraced_children")

LONGER = {"killed-writers": 4.0, "cluster": 4.0, "sentinels": 5.0, "mixed": 5.0, "mixed-asyncio": 5.0}
"""Seconds of phases whose faults take longer, or that have many."""
ROWS = {"lagging-database": 64}
"""Rows of phases for which 16 are too few: each write closes its row for the lag, and a closed row has no hits."""
GROUNDS = {
    name: (PROGRAMS[place % 2], phase.database or DATABASES[place // 2 % 2])
    for place, (name, phase) in enumerate(PHASES.items())
}


HAPPENED = {
    "killed-writers": lambda outcome: (
        outcome.restarts and outcome.counts.effects["UNKNOWN"] and outcome.counts.effects["EFFECTIVE"]
    ),
    "uncommitted": lambda outcome: outcome.counts.effects["ROLLED_BACK"],
    "strict": lambda outcome: outcome.counts.effects["STRICT"],
    "asyncio": lambda outcome: outcome.counts.cancelled,
}
"""What a phase is about, where that is no fault."""


def short(name: str) -> Plan:
    """A plan for a busy machine: few rows, so that races find each other, and few writes, so that there are hits."""
    program, database = GROUNDS[name]
    require("redis" if program == "redis-server" else "valkey")
    return Plan(
        phases=(name,),
        seconds=LONGER.get(name, 2.0),
        calm_seconds=1.0,
        server=program,
        database=database_of(database),
        rows=ROWS.get(name, 16),
        reads_per_second=3000.0,
        writes_per_second=30.0,
    )


@pytest.mark.parametrize("name", [name for name, one in PHASES.items() if not one.by_name])
def test_the_promise_is_kept(name: str, tmp_path: Path) -> None:
    """No stale read, nothing lost, wrong, or made up, no error for a reader; and it hits when it is calm."""
    outcome = run_phase(PHASES[name], short(name), 1, Unwatched(), logs=tmp_path)
    assert (outcome.status, outcome.reason) == ("complete", "")
    assert outcome.problems == [], outcome.counts.examples
    assert HAPPENED.get(name, lambda _: True)(outcome), outcome.counts


@pytest.mark.parametrize("phase", PHASES.values(), ids=list(PHASES))
def test_a_phase_is_safe_if_its_faults_are(phase: Phase) -> None:
    """On a user's own server nothing is struck that touches more than the run's own names and processes."""
    needs = frozenset[str]().union(*(FAULTS[name].needs for name in phase.faults))
    assert phase.is_safe == (not needs and phase.topology == "one")


def test_every_fault_is_in_a_phase() -> None:
    """None is left out."""
    assert {name for phase in PHASES.values() for name in phase.faults} == set(FAULTS)
