"""A whole run: one phase after another, each with every seed. The results are written after each.

How one phase goes is in `course`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from unstale.stores.addresses import shown
from unstale.tools import surroundings
from unstale.tools.chaos import results as written
from unstale.tools.chaos.course import Watcher, cannot_be, run_phase
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.plan import Phase, Plan
from unstale.tools.chaos.results import Results
from unstale.tools.chaos.rows import kind_of

RESULTS_FILE: Final = "results.json"


class InterruptedChaosError(ChaosError):
    """The run was stopped. What there was is judged and written."""


class Turn(NamedTuple):
    """One phase, with one seed and one subject, on one ground.

    Attributes:
        phase: which.
        plan: with the server and the database of this turn.
        seed: of its draws.
        peer: a subject in the place of the phase's own; None: none.
    """

    phase: Phase
    plan: Plan
    seed: int
    peer: str | None = None


class Grounds(NamedTuple):
    """What the phases take turns on, so that with each seed a phase is on another pair.

    Attributes:
        servers: each as `Plan.server`.
        databases: each as `Plan.database`.
    """

    servers: Sequence[str]
    databases: Sequence[str]

    def of(self, number: int, phase: Phase) -> tuple[str, str]:
        """Server and database of a turn; the database is of the kind that the phase needs, where there is one."""
        fitting = [one for one in self.databases if phase.database in {None, kind_of(one)}] or self.databases
        return self.servers[number % len(self.servers)], fitting[number // len(self.servers) % len(fitting)]


def turns(plan: Plan, phases: Mapping[str, Phase], grounds: Grounds, peers: Sequence[str] = ()) -> list[Turn]:
    """All turns of a run, in their order: each phase with each seed, then the peers with the first."""
    found = []
    for place, name in enumerate(plan.phases):
        phase = phases[name]
        wanted: list[tuple[int, str | None]] = [(seed, None) for seed in plan.seeds]
        wanted += [(plan.seeds[0], peer) for peer in peers]
        for later, (seed, peer) in enumerate(wanted):
            server, database = grounds.of(place + (0 if peer else later), phase)
            turn = Turn(phase, msgspec.structs.replace(plan, server=server, database=database), seed, peer)
            if peer is None or cannot_be(phase, turn.plan, peer) is None:
                found.append(turn)
    return found


def run(plan: Plan, chosen: Sequence[Turn], folder: Path, watch: Watcher) -> Results:
    """Run the turns, and write `results.json` after each.

    Args:
        plan: what they were made of.
        chosen: see `turns`.
        folder: where the results go; it is made.
        watch: is told what happens.

    Raises:
        InterruptedChaosError: Ctrl-C. What was recorded until then is judged and written.
        ChaosError: there are results already.
    """
    path = folder / RESULTS_FILE
    if path.exists():
        raise ChaosError(f"{path} is there already. Name another folder by --out.")
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(
        plan=_without_passwords(plan),
        begun_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=surroundings.versions(),
        machine=surroundings.machine(),
    )
    written.write(results, path)  # that it can be
    for turn in chosen:
        outcome = run_phase(turn.phase, turn.plan, turn.seed, watch, logs=folder / "logs", peer=turn.peer)
        results.outcomes.append(outcome)
        written.write(results, path)
        if outcome.status == "interrupted":
            raise InterruptedChaosError
    return results


def _without_passwords(plan: Plan) -> Plan:
    """The plan as it is written down."""
    server = shown(plan.server) if "://" in plan.server else plan.server
    return msgspec.structs.replace(plan, server=server, database=kind_of(plan.database))
