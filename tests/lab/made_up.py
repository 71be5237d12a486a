"""MADE UP results, for the tests of what is drawn and said of them. Nothing in here was ever measured.

They have the shape of the truth: deletes by pattern that fill the engine and leave requests late or unanswered, a few
stale answers of what races, none of unstale. Seeded: the same call gives the same results.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from unstale.tools.lab.plan import VARIANTS, Plan
from unstale.tools.lab.results import KINDS, Outcome, Requests, Results, Sample
from unstale.tools.lab.scale_results import ScalePoint, ScaleResults

VERSIONS = {"python": "3.11.0 (made up)", "redis": "8.1.0", "django-redis": "7.0.0", "server": "Valkey 9.1.2"}
MACHINE = {"cores": "2", "memory": "8 GiB", "system": "Linux"}


class Shape(NamedTuple):
    """How a variant behaves."""

    percent: float
    """Of a core, the engine's mean."""
    slow: float
    """Seconds that requests have waited at the window's end, in a queue that grows; 0: there is none."""
    trips: float
    """Of one request."""
    stale: float = 0.0
    """The part of reads that are stale."""
    scans: float = 0.0
    """The part of the engine's time inside scans."""
    deletes: float = 0.02
    scripts: float = 0.0


SHAPES = {
    "baseline": Shape(94.0, 26.0, 420.0, stale=0.001, scans=0.72),
    "bigger-node": Shape(91.0, 24.0, 430.0, scans=0.70),
    "second-node": Shape(93.0, 25.0, 425.0, scans=0.73),
    "hiredis": Shape(92.0, 22.0, 440.0, scans=0.74),
    "bigger-scans": Shape(60.0, 0.0, 30.0, scans=0.9),
    "pipelined-deletes": Shape(93.5, 23.0, 410.0, scans=0.75),
    "async-deletes": Shape(95.0, 6.0, 390.0, stale=0.05, scans=0.74),
    "known-keys": Shape(1.7, 0.0, 2.4, stale=0.004, deletes=0.1),
    "no-deletes": Shape(1.3, 0.0, 2.1, stale=0.41),
    "timestamps": Shape(1.9, 0.0, 3.1, stale=0.006),
    "unstale": Shape(1.6, 0.0, 2.6, scripts=0.15),
    "unstale-strict": Shape(1.8, 0.0, 2.9, scripts=0.2),
    "smaller-node": Shape(1.6, 0.0, 2.6, scripts=0.15),
}


def made_up_results(
    variants: tuple[str, ...] = tuple(VARIANTS), *, rate: float = 60.0, seconds: float = 20.0, seed: int = 1
) -> Results:
    """A whole run of these variants, all complete."""
    plan = Plan(variants=variants, rate=rate, seconds=seconds, seed=seed)
    return Results(
        plan=plan,
        versions=dict(VERSIONS),
        machine=dict(MACHINE),
        outcomes=[made_up_outcome(name, plan) for name in variants],
    )


def made_up_outcome(name: str, plan: Plan) -> Outcome:
    """One variant, complete."""
    dice = random.Random(f"{name} {plan.seed}")
    shape = SHAPES[name]
    return Outcome(
        variant=name,
        stands_for=VARIANTS[name].stands_for,
        status="complete",
        server="Valkey 9.1.2",
        begun_at="2026-01-01T00:00:00Z",
        idle_percent=0.2,
        keys=plan.keys,
        samples=_samples(shape, plan, dice),
        requests=_requests(shape, plan, dice),
        second_node=_samples(Shape(0.6, 0.0, 1.0), plan, dice) if name == "second-node" else [],
    )


def _samples(shape: Shape, plan: Plan, dice: random.Random) -> list[Sample]:
    made = []
    for second in range(1, round(plan.seconds) + 1):
        spent = min(0.995, max(0.001, shape.percent / 100 * dice.gauss(1, 0.05)))
        parts = {"scans": shape.scans, "deletes": shape.deletes, "scripts": shape.scripts, "other": 0.02}
        parts |= {"reads": 0.12 * (1 - shape.scans), "writes": 0.08 * (1 - shape.scans)}
        made.append(
            Sample(
                at=float(second),
                seconds=1.0,
                engine_seconds=spent,
                process_seconds=spent * 1.02,
                host_percent=min(100.0, 30 + 60 * spent),
                by_class={kind: part * spent for kind, part in parts.items()},
                calls={kind: round(plan.rate * shape.trips * part) for kind, part in parts.items()},
                trips=round(plan.rate * shape.trips * (0.4 if shape.slow else 1)),
                memory_bytes=300_000_000 + 10_000 * second,
                keys=plan.keys,
            )
        )
    return made


def _requests(shape: Shape, plan: Plan, dice: random.Random) -> Requests:
    made = Requests()
    for place in range(round(plan.rate * plan.seconds)):
        due = place / plan.rate
        kind = "action" if dice.random() < plan.actions else "catalogue" if dice.random() < 0.2 else "history"
        took = 0.008 * math.exp(dice.gauss(0, 0.5)) + (0.12 if kind == "action" and shape.slow else 0)
        took += shape.slow * due / plan.seconds * dice.uniform(0.8, 1)
        answered = due + took < plan.seconds + plan.grace_seconds
        made.due.append(due)
        made.kind.append(KINDS.index(kind))
        made.user.append(dice.randrange(plan.users))
        made.took.append(took if answered else None)
        made.status.append((201 if kind == "action" else 200) if answered else 0)
        made.hit.append(None if kind == "action" or not answered else dice.random() < 0.62)
        stale = kind == "history" and answered and dice.random() < shape.stale
        made.sent_late.append(abs(dice.gauss(0, 0.002)))
        made.behind.append(dice.randrange(1, 4) if stale else 0)
    return made


def made_up_scale() -> ScaleResults:
    """Curves: deletes by pattern grow with the keyspace, known keys with the user's keys, the others with neither."""
    points = [
        ScalePoint(
            method=method,
            keys=keys,
            keys_per_user=per_user,
            verb=verb,
            engine_us=spent,
            engine_us_low=spent * 0.95,
            engine_us_high=spent * 1.08,
            trips=trips,
            rounds=7,
            client_us=spent * 1.5 + 60 * trips,
        )
        for keys in (10_000, 100_000, 1_000_000)
        for per_user in (10, 100, 1000)
        for method, verb, spent, trips in _costs(keys, per_user)
    ]
    skipped = ["10,000 keys a user among 10,000: no room."]
    return ScaleResults(points=points, versions=dict(VERSIONS), machine=dict(MACHINE), seed=1, skipped=skipped)


def _costs(keys: int, per_user: int) -> list[tuple[str, str, float, float]]:
    return [
        ("pattern-deletes", "invalidate", keys * 0.9 + per_user, keys / 10),
        ("pattern-deletes-1000", "invalidate", keys * 0.15 + per_user, keys / 1000),
        ("known-keys", "invalidate", 20 + per_user * 0.8, 2),
        ("timestamps", "invalidate", 14, 1),
        ("unstale", "invalidate", 17, 1),
        ("pattern-deletes", "read", 12, 1),
        ("pattern-deletes-1000", "read", 12.2, 1),
        ("known-keys", "read", 12.1, 1),
        ("timestamps", "read", 23, 2),
        ("unstale", "read", 15, 1),
    ]
