"""What the doctor found, as data: `--json` is a `Report`. No clock, no server, no judgement.

Percentages are of one core, as ElastiCache's EngineCPUUtilization is. Names of keys are kept as shapes only
(`shop:user:*:orders`), values never.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

FORMAT: Final = 1
Level: TypeAlias = Literal["info", "warning", "serious"]
LEVELS: Final[tuple[Level, ...]] = ("info", "warning", "serious")
"""From the least to the worst."""
Group: TypeAlias = Literal["reads", "writes", "invalidation by key", "invalidation by pattern", "scripts", "other"]
GROUPS: Final[tuple[Group, ...]] = (
    "reads", "writes", "invalidation by key", "invalidation by pattern", "scripts", "other"
)  # fmt: skip
Kind: TypeAlias = Literal["entry", "stamp", "lease", "other of unstale", "another's"]


STOPPED: Final = "Stopped."
"""Why a server was not looked at to the end, where that was wanted."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to know, or to change."""

    id: str
    level: Level
    says: str
    """What is the matter, in a sentence."""
    evidence: str
    """The figures that say so."""
    remedy: str
    """What to do; for level info it may be nothing."""
    nodes: tuple[str, ...] = ()
    """The servers that it is true of; empty: all that were looked at."""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that was estimated, with what it may be at the least and at the most."""

    low: float
    mid: float
    high: float


class CommandCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one command took in the window."""

    name: str
    group: Group
    """DEL and UNLINK stand under what most of them belong to."""
    calls_per_second: float
    us_per_call: float
    """Inside the command, by the server's clock."""
    percent: float
    """Of a core, inside the command."""
    p50_us: float | None = None
    """Since the server began, from INFO latencystats; None where it does not tell."""
    p99_us: float | None = None


class GroupCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a group of commands took in the window."""

    name: Group
    calls_per_second: float
    inside_percent: float
    """Of a core, inside the commands."""
    trips_percent: float
    """Of a core, for the round trips that they came by: reading, answering, being woken up."""

    @property
    def percent(self) -> float:
        """Both."""
        return self.inside_percent + self.trips_percent


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """What the main thread did between two looks."""

    seconds: float
    """From one look to the other."""
    percent: float
    process_percent: float
    """Of all threads."""
    headroom: float
    """Points to the alarm at 90 %; negative above it."""
    trips_per_second: float
    us_per_trip: float
    """Of the engine outside of commands, for each round trip."""
    commands: list[CommandCost]
    """The dearest first."""
    groups: list[GroupCost]
    """All of GROUPS, in their order."""
    hit_rate: float | None
    """Of GETs and the like, in the window; 0 to 1. None: there were none."""
    evicted_per_second: float
    connections_per_second: float
    """New ones."""

    def group(self, name: Group) -> GroupCost:
        """One group's."""
        return next(one for one in self.groups if one.name == name)


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the slow log that are alike."""

    command: str
    """With the pattern of a KEYS or SCAN, as a shape."""
    count: int
    most_us: int


class Facts(msgspec.Struct, kw_only=True):
    """What a server says about itself. None: it does not say."""

    name: str = ""
    """Kind and version."""
    version: tuple[int, ...] = ()
    """Of the Redis that it is compatible with."""
    is_valkey: bool = False
    is_cluster_node: bool = False
    role: str = ""
    memory_bytes: int | None = None
    most_memory_bytes: int | None = None
    """0: no limit."""
    policy: str | None = None
    """maxmemory-policy."""
    clients: int | None = None
    most_clients: int | None = None
    walking_clients: dict[str, int] = {}
    """Clients whose last command was KEYS or SCAN: how many, by their library and name."""
    walked_databases: list[int] = []
    """Of those clients."""
    database: int = 0
    """That of the URL: its keys are sampled."""
    databases: dict[int, int] = {}
    """The keys of each database that has any."""
    user: str | None = None
    dangerous: list[str] = []
    """Of FLUSHALL, KEYS and others, those that this user may run."""
    slow: list[Slow] = []
    keys_calls: int = 0
    """KEYS since the statistics began."""
    delete_calls: int = 0
    """DEL and UNLINK since then."""
    latency_events: dict[str, int] = {}
    """From LATENCY LATEST: the longest, in milliseconds, by event."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Sampled keys with names alike."""

    shape: str
    kind: Kind
    sampled: int
    part: float
    """Of all that were sampled, 0 to 1."""
    bytes_each: float
    """Mean, with what the server needs beside the value."""
    without_ttl: float | None
    """The part of them that never expires, 0 to 1. None: PTTL is refused."""
    ttl: float | None
    """Seconds left, the median of those that expire."""


class Stamps(msgspec.Struct, frozen=True, kw_only=True):
    """How unstale's sampled entries and their stamps stand to each other."""

    entries: int
    """Whose heads were read."""
    tags: int
    """Different tags that these record."""
    looked_at: int
    """Stamps of those tags that were looked at."""
    missing: int
    """Of these: gone, so their entries are stale. Some always are: an invalidation of what was forgotten."""
    short: int
    """Of these: expire before an entry that records them, by more than a minute."""


class Keyspace(msgspec.Struct, frozen=True, kw_only=True):
    """Some keys of one database."""

    keys: int
    """In that database."""
    sampled: int
    whole: bool
    """Whether that is all of them."""
    shapes: list[Shape]
    """The most frequent first."""
    stamps: Stamps | None
    """None: there are no entries of unstale among them."""


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern by which the keyspace was walked while MONITOR ran."""

    command: str
    """KEYS or SCAN."""
    pattern: str
    """As a shape: {id} stands for what differs."""
    walks: int
    """Begun."""
    calls: int
    deleted: int
    """Names that match it and were deleted."""


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """A command on names of one shape, while MONITOR ran."""

    command: str
    shape: str
    calls: int


class Monitored(msgspec.Struct, frozen=True, kw_only=True):
    """What MONITOR told."""

    seconds: float
    commands: int
    whole: bool
    """False: there were more than are kept, and it was ended early."""
    patterns: list[Pattern]
    busiest: list[Busy]
    deleted_by_pattern: int
    """Names in DEL and UNLINK that a walk's pattern matches."""
    deleted_by_key: int
    stamps_written: int
    """SETs of stamps of unstale's: its invalidations."""

    @property
    def part_by_pattern(self) -> float:
        """Of the deleted names, those that walks had found, 0 to 1; 0 where there were none."""
        deleted = self.deleted_by_pattern + self.deleted_by_key
        return self.deleted_by_pattern / deleted if deleted else 0.0


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What invalidation by pattern costs now, and what it would cost with stamps; see `costs` for the model."""

    engine_now_percent: float
    """The whole engine."""
    now_percent: float
    """Invalidation, by key and by pattern, with its trips."""
    by_pattern: float
    """The part of that which patterns take, 0 to 1."""
    walks_per_second: Range
    us_per_walk: Range
    us_per_stamp: Range
    """One invalidation by a stamp, its trip included."""
    stamps_percent: Range
    """All of these invalidations by stamps."""
    engine_percent: Range
    """The whole engine then."""
    times_the_traffic: Range
    """How much more traffic this server could then take, to the alarm."""
    core_needed: Range
    """What part of this server's core would then be enough for the traffic of now, to the alarm; 0 to 1."""
    counted: bool
    """Whether the walks were counted (KEYS, or MONITOR); else their number is estimated."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could not be seen."""

    what: str
    why: str


class Node(msgspec.Struct, kw_only=True):
    """One server."""

    name: str
    is_local: bool = False
    has_tls: bool = False
    in_cluster: bool = False
    """Whether all nodes of its cluster were asked for."""
    status: Literal["complete", "interrupted", "unreachable"] = "complete"
    why: str = ""
    """Of one that is not complete."""
    is_own_error: bool = False
    """Whether the doctor itself failed at it."""
    facts: Facts = msgspec.field(default_factory=Facts)
    engine: Engine | None = None
    keyspace: Keyspace | None = None
    monitored: Monitored | None = None
    costs: Costs | None = None
    """None: no walk of the keyspace was seen, or the engine could not be watched."""
    refusals: list[Refusal] = []
    commands_sent: int = 0
    """By the doctor."""
    own_percent: float | None = None
    """What the doctor itself took of the engine while it looked, by the server's clock, at most."""


class Report(msgspec.Struct, kw_only=True):
    """A whole examination."""

    format: int = FORMAT
    target: str
    """The URL, without user, password and options."""
    begun_at: str
    """UTC, ISO 8601."""
    seconds: float
    """How long it took."""
    nodes: list[Node]
    findings: list[Finding]
    """The worst first."""

    @property
    def worst(self) -> Level | None:
        """Of the findings; None: there are none."""
        return max((one.level for one in self.findings), key=LEVELS.index, default=None)
