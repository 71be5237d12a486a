"""`unstale lab scale`: what one invalidation and one read cost, in keyspaces of several sizes. Starts, gathers, ends.

How much is measured `scale_plan` says, how a sample is taken `scale_child`, which is a process of its own. Nothing is
printed here: what is being done goes to the caller's `progress`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import psutil

from unstale.tools.lab.errors import LabError
from unstale.tools.lab.keyspace import leave_as_found
from unstale.tools.lab.plan import VARIANTS, Plan
from unstale.tools.lab.preconditions import SPARE_BYTES, check
from unstale.tools.lab.scale_job import Doing, LeftOut, Sampled, ScaleJob, Told
from unstale.tools.lab.scale_plan import REAL_TO, SMALL, ScalePlan, checked, fitting, keys_like, stations
from unstale.tools.lab.scale_results import ScalePoint, ScaleResults, Verb
from unstale.tools.lab.servers import is_users_own, serving_cache
from unstale.tools.logs import tail
from unstale.tools.surroundings import machine, versions

PREFIX: Final = "unstale-lab-scale"
"""What all keys begin with."""
VARIANT: Final = VARIANTS["unstale"]
"""Of which only the server counts here: one core, one I/O thread."""

Progress: TypeAlias = Callable[[Doing], None]
Combination: TypeAlias = tuple[str, int, int, Verb]
"""Method, keys, keys of a user, verb."""


def run_scale(plan: ScalePlan, progress: Progress) -> ScaleResults:
    """Measure all that the plan has, as far as memory and time go.

    Args:
        plan: what to measure.
        progress: told what is being done, several times a second. What it raises ends the run.

    Returns:
        Medians with their quartiles. What was left out stands in `skipped`, each with its reason; after Ctrl-C that is
        all that had not been measured by then.

    Raises:
        ConfigurationError: the plan makes no sense.
        LabError: the server is not as the lab needs it, there is memory for none of the sizes, or the measuring process
            has died.
    """
    planned, too_large = _possible(checked(plan))
    lab = Plan(server=plan.server, seed=plan.seed)
    results = ScaleResults(seed=plan.seed, machine=_machine(planned), versions=versions(), skipped=too_large)
    results.skipped += stations(planned)[1]
    with (
        tempfile.TemporaryDirectory(prefix="unstale-scale-") as directory,
        serving_cache(lab, VARIANT, Path(directory)) as node,
    ):
        results.versions["server"] = node.name
        try:
            _gather(ScaleJob(url=node.url, prefix=PREFIX, plan=planned), Path(directory), results, progress)
        finally:
            if is_users_own(lab):
                leave_as_found(node, PREFIX)
    return results


def _possible(plan: ScalePlan) -> tuple[ScalePlan, list[str]]:
    """The plan with those sizes that fit, and what is left out; the server is looked at, too."""
    skipped: list[str] = []
    lab = Plan(server=plan.server, variants=(VARIANT.name,))
    if not is_users_own(lab):
        plan, skipped = fitting(plan, psutil.virtual_memory().available - SPARE_BYTES)
    check(msgspec.structs.replace(lab, keys=keys_like(max(plan.sizes))))
    return plan, skipped


def _gather(job: ScaleJob, directory: Path, results: ScaleResults, progress: Progress) -> None:
    """Have a child measure, and keep what it tells."""
    samples: dict[Combination, list[Sampled]] = {}
    try:
        with closing(_told_by_child(job, directory)) as telling:
            for told in telling:
                match told:
                    case Doing():
                        progress(told)
                    case Sampled():
                        combination = (told.method, told.keys, told.per_user, told.verb)
                        samples.setdefault(combination, []).append(told)
                    case LeftOut():
                        results.skipped.append(told.why)
    except KeyboardInterrupt:
        reached = {(keys, per_user) for _, keys, per_user, _ in samples}
        results.skipped += [
            f"{station.name}: interrupted before it."
            for station in stations(job.plan)[0]
            if (station.keys, station.per_user) not in reached
        ]
        results.skipped.append("Interrupted: where there are fewer rounds than planned, this is why.")
    results.points = [point_of(combination, found) for combination, found in samples.items()]


def point_of(combination: Combination, samples: list[Sampled]) -> ScalePoint:
    """What the samples of one combination come to."""
    method, keys, per_user, verb = combination
    low, middle, high = _quartiles([sample.engine_us for sample in samples])
    return ScalePoint(
        method=method,
        keys=keys,
        keys_per_user=per_user,
        verb=verb,
        engine_us=middle,
        engine_us_low=low,
        engine_us_high=high,
        trips=statistics.median(sample.trips for sample in samples),
        rounds=len(samples),
        client_us=statistics.median(sample.client_us for sample in samples),
    )


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _told_by_child(job: ScaleJob, directory: Path) -> Generator[Told, None, None]:
    """What the measuring process tells, until it has ended; it is ended where this is left earlier."""
    log = directory / "scale.log"
    with _child(log) as child:
        if child.stdin is None or child.stdout is None:  # only for the type checker: it was started with pipes
            raise LabError("The measuring process has no pipes.")
        child.stdin.write(msgspec.json.encode(job) + b"\n")
        child.stdin.flush()
        for line in child.stdout:
            yield msgspec.json.decode(line, type=Told)
        if status := child.wait():
            raise LabError(f"The measuring process has ended with status {status}. Its last words:\n{tail(log)}")


@contextmanager
def _child(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The measuring process. It ends with this block; and by itself, as soon as its input ends."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "unstale.tools.lab.scale_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,  # Ctrl-C is for the lab, which then ends it
        )
    with child:  # closes the pipes, and waits
        try:
            yield child
        finally:
            child.kill()


def _machine(plan: ScalePlan) -> dict[str, str]:
    values = "of pages that are read: about 1 KiB; of others: as the site answers them, about 2 KiB"
    if max(plan.sizes) > REAL_TO:
        values += f", and {SMALL} bytes in keyspaces of more than {REAL_TO:,} keys"
    return {**machine(), "values": values}
