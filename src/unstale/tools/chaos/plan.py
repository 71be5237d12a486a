"""What is tried: phases, each a few kinds of fault under load, how long, how often and on what. No clock, no I/O."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Topology = Literal["one", "pair", "sentinel", "cluster"]
"""One server; a primary with a replica; the same with three sentinels; a cluster of three primaries, three replicas."""
Mode = Literal["threads", "asyncio"]
Database = Literal["sqlite", "postgresql"]
Work = Literal["nested", "uncommitted", "snapshots", "killed", "cancelled", "strict", "lagging", "set", "delete"]
"""nested: values computed from other cached values. uncommitted: writers that read inside their transaction, and some
roll back. snapshots: loaders inside REPEATABLE READ transactions that began earlier. killed: writers that die between
COMMIT and invalidation. cancelled: readers whose tasks are cancelled. strict: strict writes. lagging: loaders that
read a database replica that lags. set: get, compute, set in place of get_or_set. delete: delete(key) invalidates."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Load, and what breaks meanwhile.

    Attributes:
        name: what it is called on the command line and in tables.
        says: what it shows, a sentence for people.
        faults: by name (`faults.FAULTS`), one of which is struck at a time, drawn at random.
        every: seconds between two strikes, on average.
        subject: what caches: a name of `subject.SUBJECTS`, or "module:function" that makes one.
        options: what the subject is told besides.
        topology: what servers it needs.
        mode: how its readers run.
        database: which one it needs; None: whichever the plan has.
        work: what readers and writers do besides plain reads and writes: see `Work`.
        least_hit_rate: less, and the phase has shown nothing; None: not asked (while the server is away there is none).
        grace_seconds: reads that begin so soon after a strike are not judged: a demoted primary's proof, say.
        graced: the faults that this holds for; none named: for all of the phase.
        outbox: whether the subject has one, so that an invalidation whose process was killed is promised too.
        kinds: of keys; each row has a key of each.
        writes: the part of the plan's writes a second that there are: fewer, where each closes its tag for a while.
        writers_live: seconds, the shortest and the longest time, where writers are killed.
        for_peers: whether caches that are not unstale can be put through it: it asks for nothing of unstale's own.
        is_safe: whether its faults may be done to a user's own server: they touch nothing but the run's own names.
        by_name: it is run only where it is named: it takes as long as it takes, whatever the plan's seconds.
    """

    name: str
    says: str
    faults: tuple[str, ...] = ()
    every: float = 0.5
    subject: str = "unstale"
    options: dict[str, Any] = {}
    topology: Topology = "one"
    mode: Mode = "threads"
    database: Database | None = None
    work: tuple[Work, ...] = ()
    least_hit_rate: float | None = None
    grace_seconds: float = 0.0
    graced: tuple[str, ...] = ()
    outbox: bool = False
    kinds: int = 2
    writes: float = 1.0
    writers_live: tuple[float, float] = (0.5, 3.0)
    for_peers: bool = True
    is_safe: bool = False
    by_name: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run.

    Attributes:
        phases: by name.
        seconds: for each phase, while things break.
        calm_seconds: the load goes on for so long after all is healed.
        seeds: each phase once with each.
        server: "embedded", a program such as redis-server, or a user's URL (then only phases that are safe).
        database: "sqlite", or a URL postgres://…, beside which databases are made.
        rows: rows of the database, all hot.
        readers: processes of readers.
        threads: in each of them (or tasks, for asyncio).
        writers: processes of writers.
        reads_per_second: all readers together, at the most; 0: as fast as they go.
        writes_per_second: all writers together.
        load_seconds: the shortest and the longest time that a loader takes beyond the query.
    """

    phases: tuple[str, ...]
    seconds: float = 20.0
    calm_seconds: float = 2.0
    seeds: tuple[int, ...] = (1, 2, 3)
    server: str = "embedded"
    database: str = "sqlite"
    rows: int = 64
    readers: int = 2
    threads: int = 4
    writers: int = 2
    reads_per_second: float = 6000.0
    writes_per_second: float = 60.0
    load_seconds: tuple[float, float] = (0.0, 0.003)
