"""For each mutant the phase in which its mistake shows soonest: few hot rows, and the fault that it cannot stand."""

from __future__ import annotations

from typing import Any, NamedTuple

from unstale.tools.chaos.plan import Phase, Plan


class Aim(NamedTuple):
    """A phase, the load that it needs, and the mutants that it is for.

    Attributes:
        phase: its subject is the sound one.
        plan: how long, and under which load. What the first seed does not show the others may: a machine is busy.
        mutants: by name, each with the counts of which at least one must not be 0.
    """

    phase: Phase
    plan: Plan
    mutants: dict[str, tuple[str, ...]]


STALE = ("stale",)
PATIENT = {"read_timeout": 0.3}
"""On a busy machine answers are late, and a cache that goes on without the server shows nothing."""


def aim(name: str, says: str, mutants: dict[str, tuple[str, ...]], load: dict[str, Any], **phase: Any) -> Aim:
    """Put one together."""
    hot = {"rows": 2, "load_seconds": (0.002, 0.015), "reads_per_second": 3000.0, "writes_per_second": 80.0}
    few = {"seconds": 3.0 if phase.get("faults") else 1.5, "seeds": (1, 2, 3), "readers": 1, "threads": 4, "writers": 1}
    plan = Plan(phases=(name,), **{**few, **hot, **load})
    options = {**PATIENT, **phase.pop("options", {})}
    return Aim(Phase(name=name, says=says, options=options, **{"kinds": 3, **phase}), plan, mutants)


AIMS = (
    aim(
        "races",
        "Reads, loads and writes of two rows meet.",
        {
            "stamps_after_the_load": STALE,
            "time_as_stamps": STALE,
            "flight_by_key_alone": STALE,
            "stamps_kept_alive_by_set": STALE,
        },
        {},
    ),
    aim(
        "evictions",
        "Stamps are evicted.",
        {"missing_equals_anything": STALE, "counters_as_stamps": STALE},
        {"rows": 4, "load_seconds": (0.0, 0.003), "reads_per_second": 0.0},
        kinds=12,
        faults=("evict-stamps",),
        every=0.05,
    ),
    aim("set", "get, compute, set.", {"looks_forgotten": STALE}, {}, subject="unstale-set", work=("set",)),
    aim(
        "delete",
        "delete, not invalidate.",
        {"lease_not_checked": STALE},
        {},
        subject="unstale-delete",
        work=("delete",),
    ),
    aim(
        "nested",
        "Values computed from cached values.",
        {"nested_not_inherited": STALE, "inherited_read_anew": STALE},
        {"load_seconds": (0.0, 0.003)},
        subject="aimed:NestedSlowly",
        kinds=2,
    ),
    aim(
        "strict",
        "Strict writes, and plain invalidations of the same tags.",
        {
            "bump_opens_a_closed_tag": ("older_than_visible",),
            "fill_opens_a_closed_tag": ("older_than_visible",),
            "old_stamp_put_back": STALE,
        },
        {"load_seconds": (0.0, 0.002), "writes_per_second": 40.0, "seeds": tuple(range(1, 9))},
        subject="aimed:StrictAmongPlain",
        work=("strict",),
    ),
    aim(
        "soft",
        "Soft invalidations among hard ones.",
        {"soft_by_get_and_set": STALE},
        {"load_seconds": (0.0, 0.001), "writes_per_second": 50.0, "seconds": 3.0},
        subject="aimed:SoftAmongHard",
        kinds=24,
    ),
    aim(
        "lagging",
        "Loaders read a database replica that lags.",
        {"lag_ignored": STALE},
        {"load_seconds": (0.0, 0.003), "writes_per_second": 8.0},
        subject="unstale-lag",
        options={"replica_lag": 0.2},
        work=("lagging",),
    ),
    aim("full", "The server is full.", {"full_server_ignored": STALE}, {"rows": 8}, faults=("oom",), every=0.1),
    aim(
        "paused",
        "The server keeps writers waiting for longer than they wait.",
        {"errors_swallowed": STALE},
        {"load_seconds": (0.0, 0.003), "rows": 8, "threads": 8, "writes_per_second": 30.0, "seeds": (15, 11, 32)},
        options={"invalidate_timeout": 0.3},
        faults=("client-pause",),
        every=0.1,
    ),
    aim(
        "restarts",
        "The server comes back with an old snapshot.",
        {"no_identity": STALE},
        {"load_seconds": (0.0, 0.003), "rows": 16, "writes_per_second": 30.0},
        faults=("restart-from-snapshot",),
        every=0.1,
    ),
    aim(
        "failover",
        "A replica that lags takes over while values are loaded.",
        {"identity_at_the_store": STALE},
        {"load_seconds": (0.0, 0.0), "rows": 16, "writes_per_second": 8.0, "seconds": 4.0, "seeds": (868, 986, 1283)},
        faults=("failover-to-laggard",),
        topology="pair",
        subject="aimed:FilledBeside",
        options={"fill_seconds": (0.6, 2.2), "lease": 10.0},
        kinds=12,
        every=0.5,
    ),
    aim(
        "back",
        "A primary is a replica for a while.",
        {"run_id_alone": STALE},
        {
            "load_seconds": (0.0, 0.003),
            "rows": 32,
            "writes_per_second": 16.0,
            "seconds": 5.0,
            "seeds": (118, 251, 349),  # one fault, early: what it leaves is judged once its second of grace is over
        },
        faults=("promoted-back",),
        topology="pair",
        every=3.0,
        grace_seconds=1.0,
    ),
    aim(
        "demoted",
        "A primary is demoted, and keeps its clients.",
        {"demotion_ignored": STALE},
        {"load_seconds": (0.0, 0.003), "rows": 8, "seconds": 4.0},
        faults=("demoted-primary",),
        topology="pair",
        every=1.5,
        grace_seconds=1.0,
    ),
    aim(
        "transactions",
        "Django: transactions that read what they have written, and are rolled back.",
        {"invalidated_before_the_commit": ("lost", "stale"), "own_writes_stored": ("phantom", "stale")},
        {"load_seconds": (0.0, 0.003), "rows": 4},
        subject="unstale-django",
        work=("uncommitted",),
        outbox=True,
    ),
    aim(
        "snapshots",
        "Django: transactions whose snapshots are old.",
        {"old_snapshots_stored": STALE},
        {"load_seconds": (0.0, 0.003), "rows": 4},
        subject="unstale-django",
        work=("snapshots",),
        outbox=True,
    ),
)
