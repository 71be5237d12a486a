"""What came of a run: for each phase, seed and subject its counts, and what of them must not be. Here nothing runs.

`results.json` is a `Results`; its tables can be made of it again at any time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from unstale.tools import stored
from unstale.tools.chaos.judge import Counts
from unstale.tools.chaos.plan import Phase, Plan

FORMAT: Final = 1
LEAST_READS: Final = 100
"""Fewer, and nothing was shown."""
ZERO: Final = ("stale", "lost", "wrong", "phantom", "errors")
"""The counts that must be 0 in every phase."""


class Outcome(msgspec.Struct, kw_only=True):
    """What one phase gave, with one seed and one subject.

    Attributes:
        phase: its name.
        says: what it shows.
        seed: of its draws.
        subject: what cached.
        is_peer: whether that is one of those beside which unstale is shown: nothing is asked of it.
        status: complete, interrupted (judged as far as it came), failed, or skipped.
        reason: why it is not complete.
        server: name and version.
        database: kind and version.
        mode: how readers ran.
        seconds: under load, as measured.
        settle_seconds: from the end of the load until what was queued was carried out.
        healed_seconds: until then from the end of the last fault, the calm load in between included.
        restarts: processes that were killed and followed by another.
        counts: what was found.
        mishaps: what was raised in readers and writers, and how often each.
        problems: what of all this must not be, in words; none: the phase has passed.
    """

    phase: str
    says: str
    seed: int
    subject: str
    is_peer: bool = False
    status: Literal["complete", "interrupted", "failed", "skipped"] = "interrupted"
    reason: str = ""
    server: str = ""
    database: str = ""
    mode: str = "threads"
    seconds: float = 0.0
    settle_seconds: float = 0.0
    healed_seconds: float = 0.0
    restarts: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)
    mishaps: dict[str, int] = {}
    problems: list[str] = []

    @property
    def is_bad(self) -> bool:
        """Whether a run that has it must not be called well."""
        return not self.is_peer and (self.status == "failed" or bool(self.problems))


class Results(msgspec.Struct, kw_only=True):
    """A run, whole or in part.

    Attributes:
        plan: what was asked for; no passwords.
        format: of this file.
        begun_at: ISO 8601, UTC.
        versions: of Python and the libraries.
        machine: cores, memory, system; no names.
        outcomes: in the order in which they came.
    """

    plan: Plan
    format: int = FORMAT
    begun_at: str = ""
    versions: dict[str, str] = {}
    machine: dict[str, str] = {}
    outcomes: list[Outcome] = []


def problems_of(outcome: Outcome, phase: Phase) -> list[str]:
    """What must not be, in words.

    Args:
        outcome: judged, as far as it came.
        phase: says what is asked.
    """
    counts = outcome.counts
    found = [f"{getattr(counts, name)} {name}" for name in ZERO if getattr(counts, name)]
    if "strict" in phase.work and counts.older_than_visible:
        found.append(f"{counts.older_than_visible} older than visible")
    return found + _not_shown(counts, phase) if outcome.status == "complete" else found


def _not_shown(counts: Counts, phase: Phase) -> list[str]:
    """Why a phase that has gone its way has shown nothing."""
    found = []
    if counts.hits + counts.loads < LEAST_READS:
        found.append(f"only {counts.hits + counts.loads} reads: nothing was shown")
    if not counts.writes:
        found.append("no writes: nothing was shown")
    if phase.faults and not counts.strikes:
        found.append("no fault was struck: nothing was shown")
    rate = counts.calm_hit_rate
    if phase.least_hit_rate is not None and (rate is None or rate < phase.least_hit_rate):
        found.append(f"hit rate {'unknown' if rate is None else f'{rate:.3f}'} when calm, below {phase.least_hit_rate}")
    return found


def write(results: Results, path: Path) -> None:
    """Write it whole or not at all, a line for each outcome. Raises OSError if it cannot be written."""
    stored.write(results, path, each="phase")


def read(path: Path) -> Results:
    """A run that was written before.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    return stored.read(path, Results, called="unstale chaos", current=FORMAT)
