"""Figures from what the clients and the server recorded. Pure: no clock, no server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from demo.server import Sample
from demo.worker import Done
from demo.workload import Load, Operation

UNDER_WAY = 5
"""So many operations may be under way at the end of a run that keeps up."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one variant did."""

    variant: str
    title: str
    offered: int
    """Operations that came due."""
    offered_per_second: float
    achieved_per_second: float
    unfinished: int
    """Operations of those that had not returned at the end."""
    engine_us_per_operation: float
    """CPU of the server's main thread, for each operation that was completed in time."""
    engine_percent: float
    """The same, of one core."""
    trips_per_operation: float
    """Round trips to the server."""
    read_p50_ms: float
    read_p99_ms: float
    """Of all reads that came due; one that had not returned counts as long as it had waited at the end."""
    reads: int
    """Reads that returned a page."""
    hit_rate: float
    """The share of them that did not call the loader."""
    loads: int
    actions: int
    """Actions that returned without an error."""
    stale_reads: int
    read_errors: int
    action_errors: int
    error_names: dict[str, int]
    command_us_per_operation: dict[str, float]
    """The engine's time inside each command, the largest first. What a script calls counts there as well."""

    @property
    def errors(self) -> int:
        """All errors that reached the caller."""
        return self.read_errors + self.action_errors

    @property
    def held(self) -> bool:
        """Whether the offered rate was kept: no more was unfinished at the end than what is always under way."""
        return self.unfinished <= max(UNDER_WAY, 0.01 * self.offered)


def figures(
    variant: tuple[str, str],
    load: Load,
    operations: Sequence[Operation],
    done: Sequence[Done],
    samples: tuple[Sample, Sample],
) -> Figures:
    """Put one variant's figures together.

    Args:
        variant: its letter and title.
        load: what was offered.
        operations: all that came due.
        done: all that returned, also after the end.
        samples: the server's counters at the start and at the end.
    """
    in_time = [one for one in done if one.done_at <= load.seconds]
    completed = sum(not one.error for one in in_time)
    engine = samples[1].cpu_seconds - samples[0].cpu_seconds
    reads = [one for one in done if not one.operation.is_action and not one.error]
    latencies = _latencies(operations, in_time, load.seconds)
    loads = sum(one.loaded for one in reads)
    failed = [one for one in done if one.error]
    read_errors = sum(not one.operation.is_action for one in failed)
    return Figures(
        variant=variant[0],
        title=variant[1],
        offered=len(operations),
        offered_per_second=len(operations) / load.seconds,
        achieved_per_second=completed / load.seconds,
        unfinished=len(operations) - len(in_time),
        engine_us_per_operation=engine * 1e6 / max(1, completed),
        engine_percent=engine / (samples[1].at - samples[0].at) * 100,
        trips_per_operation=(samples[1].trips - samples[0].trips) / max(1, completed),
        read_p50_ms=_quantile(latencies, 0.50) * 1000,
        read_p99_ms=_quantile(latencies, 0.99) * 1000,
        reads=len(reads),
        hit_rate=1 - loads / len(reads) if reads else 0.0,
        loads=loads,
        actions=len(done) - len(reads) - len(failed),
        stale_reads=sum(one.stale for one in reads),
        read_errors=read_errors,
        action_errors=len(failed) - read_errors,
        error_names=dict(Counter(one.error for one in failed)),
        command_us_per_operation=_by_command(*samples, max(1, completed)),
    )


def _latencies(operations: Sequence[Operation], in_time: Sequence[Done], seconds: float) -> list[float]:
    """Seconds from when each read was due until it returned, or until the end; sorted."""
    returned = Counter(one.operation for one in in_time)
    waiting = Counter(operations) - returned
    latencies = [one.done_at - one.operation.due_at for one in in_time if not one.operation.is_action]
    latencies += [seconds - one.due_at for one in waiting.elements() if not one.is_action]
    return sorted(latencies)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _by_command(before: Sample, after: Sample, operations: int) -> dict[str, float]:
    spent = {
        name: (seconds - before.command_seconds.get(name, 0.0)) * 1e6 / operations
        for name, seconds in after.command_seconds.items()
        if name != "info"
    }
    return dict(sorted(spent.items(), key=lambda one: -one[1]))
